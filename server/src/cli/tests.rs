use super::*;
use clap::CommandFactory as _;

#[derive(Debug, Parser)]
struct All {
    #[command(subcommand)]
    command: Every,
}

/// The argument structs of every command, so that those of commands wired elsewhere are checked too.
#[derive(Debug, Subcommand)]
enum Every {
    #[command(after_help = SERVE_HELP)]
    Serve(ServeArgs),
    #[command(after_help = REPLAY_HELP)]
    Replay(ReplayArgs),
    #[command(subcommand)]
    Fleet(FleetCommand),
    #[command(after_help = AUDIT_HELP)]
    Audit(AuditArgs),
}

fn parse(line: &str) -> Result<Every, clap::Error> {
    All::try_parse_from(std::iter::once("rideplane").chain(line.split_whitespace())).map(|all| all.command)
}

#[test]
fn the_definitions_are_sound() {
    Cli::command().debug_assert();
    All::command().debug_assert();
}

#[test]
fn the_help_teaches_by_example() {
    let mut command = Cli::command();
    for name in ["token", "config"] {
        assert!(command.render_long_help().to_string().contains(name));
    }
    let token = command.find_subcommand_mut("token").unwrap().render_long_help().to_string();
    assert!(token.contains("Authorization: Bearer"), "{token}");
}

#[test]
fn usage_errors_have_exit_code_2_and_name_what_is_wrong() {
    for (line, named) in [
        ("token", "--user"),
        ("token --user a/b", "is not a user id"),
        ("token --user a --role boss", "operator"),
        ("token --user a --ttl-s 0", "--ttl-s"),
        ("config", "check"),
        ("serve-all", "serve-all"),
    ] {
        let args = std::iter::once("rideplane").chain(line.split_whitespace());
        let error = Cli::try_parse_from(args).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[test]
fn serve_flags_become_settings_and_keep_their_names_in_errors() {
    let Ok(Every::Serve(args)) =
        parse("serve --listen 0.0.0.0:9 --data d --demo-fleet 5 --around -33.9,-70.6")
    else {
        panic!("serve")
    };
    let loaded = Loaded::parse(None, [], &args.flags().unwrap()).unwrap();
    assert_eq!(loaded.config.listen.port(), 9);
    assert_eq!(loaded.config.data, PathBuf::from("d"));
    assert_eq!(loaded.config.demo.count, 5);
    assert_eq!(loaded.config.demo.around.to_string(), "-33.9,-70.6");

    let Ok(Every::Serve(args)) = parse("serve --around 91,0") else { panic!("serve") };
    let error = Loaded::parse(None, [], &args.flags().unwrap()).unwrap_err().to_string();
    assert!(error.starts_with("--around: demo.around can't be \"91,0\""), "{error}");
    assert!(ServeArgs::default().flags().unwrap().is_empty());
}

#[test]
fn replay_and_audit_take_what_the_help_says() {
    let Ok(Every::Replay(args)) = parse("replay") else { panic!("replay") };
    assert_eq!((args.faults, args.fold, args.store), (Faults::Everyday, Fold::Week, StoreKind::Sqlite));
    assert!(parse("replay --faults storm --fold none --format rideplane --store memory --fleet 9").is_ok());
    assert!(parse("replay --fleet 0").is_err());
    let Ok(Every::Audit(args)) = parse("audit --store sqlite:x.db") else { panic!("audit") };
    assert_eq!(args.store, Some(StoreUrl::Sqlite("x.db".into())));
    assert!(parse("audit --store mysql://x").unwrap_err().to_string().contains("sqlite:FILE"));
    assert!(parse("audit --store memory: --data d").is_err());
    assert!(matches!(parse("fleet import f.csv"), Ok(Every::Fleet(FleetCommand::Import(_)))));
    assert!(matches!(parse("fleet list"), Ok(Every::Fleet(FleetCommand::List(_)))));
}
