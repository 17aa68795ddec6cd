use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

fn mistake(line: &str) -> String {
    let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
    one_line(&parse(line).expect_err(line).render().to_string(), &named(&args))
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn commands_parse() {
    for line in [
        "synod serve",
        "synod serve --config f --node-id 1 --data-dir d --listen 127.0.0.1:0 --advertise a:1 \
         --peer-listen [::1]:0 --http-listen b:2 --cluster 1@a:1,2@b:2 --rack r --shards 2",
        "synod serve --set a=b --set c=d=e",
        "synod config check --config f --json",
        "synod config show-default",
        "synod completions zsh",
        "synod version",
        "synod topic list --json -b [::1]:9092",
        "synod consume t -o -5 -e -c 1 -J",
        "synod cluster info",
        "synod log dump --records --json 00000000000000000000.log",
    ] {
        parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn mistakes_are_one_line_that_says_what_to_do() {
    for (line, expected) in [
        (
            "synod serve --lisen a:1",
            "unexpected argument '--lisen' found (a similar argument exists: '--listen'); \
             see synod serve --help",
        ),
        (
            "synod serv",
            "unrecognized subcommand 'serv' (a similar subcommand exists: 'serve'); \
             see synod --help",
        ),
        (
            "synod completions",
            "the following required arguments were not provided: <SHELL>; \
             see synod completions --help",
        ),
        (
            "synod serve --set x",
            "invalid value 'x' for '--set <KEY=VALUE>': write it as KEY=VALUE, such as \
             limits.connections=500; see synod serve --help",
        ),
        (
            "synod group reset g --shift much",
            "invalid value 'much' for '--shift <N>': invalid digit found in string; \
             see synod group reset --help",
        ),
    ] {
        assert_eq!(mistake(line), expected);
    }
}

#[test]
fn every_command_has_help_and_serve_an_example() {
    fn visit(command: &clap::Command) {
        assert!(command.get_about().is_some(), "{} has no help", command.get_name());
        command.get_subcommands().for_each(visit);
    }
    visit(&Cli::command());
    let help = parse("synod serve --help").expect_err("help").render().to_string();
    assert!(help.contains("synod ready node=1 kafka=127.0.0.1:9092"), "{help}");
    assert!(help.lines().all(|line| line.len() <= 100), "{help}");
}

#[test]
fn completions_cover_the_commands() {
    let mut script = Vec::new();
    clap_complete::generate(clap_complete::Shell::Bash, &mut Cli::command(), "synod", &mut script);
    let script = String::from_utf8(script).expect("text");
    for word in ["serve", "show-default", "--http-listen", "produce", "consume"] {
        assert!(script.contains(word), "{word}");
    }
}
