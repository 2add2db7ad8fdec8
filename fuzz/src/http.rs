//! Whole sessions over HTTP: whatever is asked, in whatever order, the contract's shapes come back and the books are right.

mod promises;
mod session;
mod world;

use session::Session;
use world::World;

/// The most requests of one input, so that an input stays an input and no load.
const MOST_REQUESTS: usize = 24;

/// The bytes are requests as text, apart by a line `----`: the request line, headers, an empty line, the body.
///
/// `as: rider-1` becomes that rider's token (`as: operator` an operator's), `signed: yes` the provider's signature of
/// the body; `{booking}`, `{intent}` and `{command}` stand for the last id that was answered. A request line `WAIT 30` lets 30
/// seconds pass, with what the workers do in them.
///
/// # Panics
/// When an answer is not one of the contract, a repeat is answered otherwise than the first, or the audit finds
/// something.
pub fn http_requests(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
    runtime.block_on(async {
        let mut session = Session::new(World::new().await);
        for text in
            bytes.split_inclusive(|byte| *byte == b'\n').collect::<Blocks>().0.iter().take(MOST_REQUESTS)
        {
            session.request(text).await;
        }
        session.end().await;
    });
}

/// Lines gathered between lines of four dashes.
struct Blocks(Vec<Vec<u8>>);

impl<'a> FromIterator<&'a [u8]> for Blocks {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(lines: I) -> Self {
        let mut blocks = vec![Vec::new()];
        for line in lines {
            if line == b"----\n" {
                blocks.push(Vec::new());
            } else if let Some(block) = blocks.last_mut() {
                block.extend_from_slice(line);
            }
        }
        Self(blocks)
    }
}
