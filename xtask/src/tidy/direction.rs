//! Crates depend one way.

use std::path::Path;

use super::Finding;
use crate::workspace::{Dependency, Package, Workspace};

/// Where a crate stands, told by its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    Core,
    Ports,
    App,
    /// Every port in memory: the one adapter that others may test against or embed.
    Memory,
    /// Drives the app, as the others are driven by it.
    Http,
    Adapter,
    Sim,
    /// Model checking of the core alone.
    Model,
    Binding,
    Server,
    /// Examples and fuzz targets: users of everything.
    User,
    /// Real servers for tests and benches; knows nothing of the product.
    Services,
    Xtask,
}

fn layer(folder: &str) -> Option<Layer> {
    match folder {
        "core" => Some(Layer::Core),
        "ports" => Some(Layer::Ports),
        "app" => Some(Layer::App),
        "adapters/memory" => Some(Layer::Memory),
        "adapters/http" => Some(Layer::Http),
        "sim" => Some(Layer::Sim),
        "model" => Some(Layer::Model),
        "server" => Some(Layer::Server),
        "services" => Some(Layer::Services),
        "xtask" => Some(Layer::Xtask),
        "fuzz" | "examples" => Some(Layer::User),
        _ => match folder.split_once('/')?.0 {
            "adapters" => Some(Layer::Adapter),
            "bindings" => Some(Layer::Binding),
            "examples" => Some(Layer::User),
            _ => None,
        },
    }
}

/// What each layer may be built from.
fn may_use(from: Layer) -> &'static [Layer] {
    use Layer::{Adapter, App, Core, Http, Memory, Ports, Server, Services, Sim};
    match from {
        Layer::Core | Layer::Services => &[],
        Layer::Xtask => &[Services],
        Layer::Ports | Layer::Model => &[Core],
        Layer::App => &[Core, Ports],
        Layer::Memory | Layer::Adapter | Layer::Http => &[Core, Ports, App],
        Layer::Sim | Layer::Binding => &[Core, Ports, App, Memory],
        Layer::Server => &[Core, Ports, App, Memory, Adapter, Http, Sim],
        Layer::User => &[Core, Ports, App, Memory, Adapter, Http, Sim, Server],
    }
}

/// What the tests of a layer may use besides.
fn tests_may_use(from: Layer) -> &'static [Layer] {
    match from {
        Layer::App | Layer::Http => &[Layer::Memory],
        // A decorator needs something to decorate, and every adapter its real server.
        Layer::Adapter => &[Layer::Memory, Layer::Services],
        Layer::Server | Layer::Sim | Layer::User => &[Layer::Services],
        Layer::Core
        | Layer::Ports
        | Layer::Memory
        | Layer::Model
        | Layer::Binding
        | Layer::Services
        | Layer::Xtask => &[],
    }
}

/// The findings in the whole workspace.
pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    workspace.packages.iter().flat_map(|package| judge(package, &workspace.root)).collect()
}

fn judge(package: &Package, root: &Path) -> Vec<Finding> {
    let folder = package.folder(root);
    let Some(from) = layer(&folder) else {
        let message =
            format!("the folder {folder} has no place in the layers; give it one in xtask/src/tidy");
        return vec![Finding::new(&package.name, message)];
    };
    package
        .dependencies
        .iter()
        .filter_map(|dependency| refused(from, dependency, root, &package.name))
        .collect()
}

fn refused(from: Layer, dependency: &Dependency, root: &Path, name: &str) -> Option<Finding> {
    let folder = dependency.path.as_ref()?;
    let folder = folder.strip_prefix(root).unwrap_or(folder).to_string_lossy().replace('\\', "/");
    let Some(to) = layer(&folder) else {
        return Some(Finding::new(name, format!("depends on {folder}, which has no place in the layers")));
    };
    let test = dependency.kind.as_deref() == Some("dev");
    if may_use(from).contains(&to) || (test && tests_may_use(from).contains(&to)) {
        return None;
    }
    let kind = dependency.kind.as_deref().unwrap_or("normal");
    let message = format!("{from:?} may not depend on {to:?}: {kind} dependency on {}", dependency.name);
    Some(Finding::new(name, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depends(from: &str, kind: Option<&str>, to: &str) -> bool {
        let package = serde_json::json!({
            "name": "from", "rust_version": null, "manifest_path": format!("/r/{from}/Cargo.toml"), "targets": [],
            "dependencies": [{ "name": "to", "kind": kind, "path": format!("/r/{to}") }],
        });
        judge(&serde_json::from_value(package).unwrap(), Path::new("/r")).is_empty()
    }

    #[test]
    fn the_way_inward_is_open() {
        for (from, to) in [
            ("ports", "core"),
            ("app", "ports"),
            ("adapters/postgres", "ports"),
            ("adapters/http", "app"),
            ("sim", "adapters/memory"),
            ("model", "core"),
            ("bindings/python", "core"),
            ("server", "adapters/kafka"),
            ("server", "sim"),
            ("examples/embed", "server"),
            ("xtask", "services"),
        ] {
            assert!(depends(from, None, to), "{from} -> {to}");
        }
    }

    #[test]
    fn the_way_outward_is_shut_for_code_builds_and_tests() {
        for (from, to) in [
            ("core", "ports"),
            ("ports", "app"),
            ("app", "adapters/sqlite"),
            ("adapters/sqlite", "adapters/postgres"),
            ("adapters/memory", "adapters/sqlite"),
            ("adapters/http", "adapters/sqlite"),
            ("bindings/wasm", "server"),
            ("sim", "adapters/postgres"),
            ("model", "app"),
            ("xtask", "core"),
            ("services", "core"),
            ("app", "services"),
            ("core", "somewhere"),
            ("somewhere", "core"),
        ] {
            for kind in [None, Some("dev"), Some("build")] {
                assert!(!depends(from, kind, to), "{from} -> {to}, {kind:?}");
            }
        }
    }

    #[test]
    fn memory_and_real_servers_are_for_tests_and_never_for_code() {
        for (from, to) in [
            ("app", "adapters/memory"),
            ("adapters/http", "adapters/memory"),
            ("adapters/redis", "adapters/memory"),
            ("adapters/postgres", "services"),
            ("server", "services"),
        ] {
            assert!(depends(from, Some("dev"), to), "{from} -> {to}");
            assert!(!depends(from, None, to), "{from} -> {to}");
            assert!(!depends(from, Some("build"), to), "{from} -> {to}");
        }
    }
}
