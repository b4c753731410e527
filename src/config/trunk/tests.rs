//! Tests of the configuration of trunks.

use std::{fs, path::Path};

use tempfile::tempdir;

use crate::{
    cli::{self, Command},
    config::{Config, ConfigError},
};

const ACCOUNT: &str = "[[account]]\nid = \"MA1\"\ntokens = [\"0123456789abcdef\"]\n";

fn load(folder: &Path, text: &str) -> Result<Config, ConfigError> {
    fs::write(folder.join("conflow.toml"), format!("{ACCOUNT}{text}")).unwrap();
    let command = cli::parse(["conflow", "serve"].map(Into::into)).unwrap();
    let Command::Serve(serve) = command else { panic!() };
    Config::load(*serve, None, folder)
}

/// A trunk with everything that its targets need, and further keys.
fn trunk(more: &str) -> String {
    format!(
        "[[trunk]]\nname = \"carrier\"\ntargets = [{{ uri = \"sip:sbc.example\" }}]\n\
         accounts = [\"MA1\"]\nallow = [\"49\"]\n{more}"
    )
}

#[test]
fn a_printed_trunk_can_be_read_again_and_has_no_secrets() {
    let temp = tempdir().unwrap();
    let file = temp.path().join("carrier.pw");
    fs::write(&file, "hush-hush\n").unwrap();
    let secret = format!("username = \"acme\"\npassword_file = {:?}\n", file);
    let more = format!(
        "{secret}targets_more = 1\norder = 5\ndomain = \"Carrier.example\"\ndeny = [\"4990\"]\n\
         strip = 1\nprefix = \"00\"\nplus = false\nrealm = \"r\"\nregister = true\n\
         caller_id = \"ppi\"\ncaller_ids = [\"+4930\"]\nprivacy = \"none\"\ndiversion = true\n\
         codecs = [\"pcma\"]\nhosts = [\"Agent.example\"]\ncalls_max = 7\ncalls_per_second = 3\n\
         minutes_per_day = 60\nsilence_wait = 2\nretry_on = [503]\nsession_expires = 600\n\
         min_se = 120\nexpires = 600\nretry = 30\noptions_interval = 0\n"
    );
    let text = format!(
        "[sip]\ndial_allow = [\"Bot.example\", \"10.0.0.1/8\"]\n{}",
        trunk(&more.replace("targets_more = 1\n", ""))
    );
    let config = load(temp.path(), &text).unwrap();
    let printed = config.to_toml();
    assert!(!printed.contains("hush") && !format!("{config:?}").contains("hush"), "{printed}");
    for line in [
        "dial_allow = [\"bot.example\", \"10.0.0.0/8\"]",
        "domain = \"carrier.example\"",
        "codecs = [\"PCMA\"]",
        "caller_id = \"ppi\"",
    ] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
    let own = printed.find("[[trunk]]").unwrap();
    let again = format!(
        "[sip]\ndial_allow = [\"bot.example\", \"10.0.0.0/8\"]\n{}",
        printed[own..].split("[[account]]").next().unwrap()
    );
    let again = load(temp.path(), &again).unwrap();
    assert_eq!(again.trunks, config.trunks);

    let settings = config.trunks[0].outbound.as_ref().unwrap().to_settings();
    assert_eq!(settings.account.as_ref().unwrap().username.as_ref(), "acme");
    assert_eq!((settings.options_interval, settings.plus), (None, false));
    assert_eq!((&*settings.caller_ids[0], &*settings.hosts[0]), ("4930", "agent.example"));
    assert!(!format!("{settings:?}").contains("hush"));

    let hidden = trunk("username = \"acme\"\npassword = \"…\"\n");
    let refused = load(temp.path(), &hidden).unwrap().check_complete().unwrap_err();
    assert!(refused.to_string().contains("password of the trunk carrier is hidden"));
}

#[test]
fn errors_of_trunks_name_the_line_and_what_to_write() {
    let temp = tempdir().unwrap();
    let check = |text: &str, expected: &str| {
        let refused = load(temp.path(), text).unwrap_err().to_string();
        assert!(refused.contains(expected), "{expected}\n{refused}");
        assert!(!refused.contains("hush"), "{refused}");
    };
    let more = |more: &str, expected: &str| check(&trunk(more), expected);
    check(
        &trunk("").replace("allow = [\"49\"]\n", ""),
        "line 5: name: a trunk with targets needs allow",
    );
    check(
        &trunk("").replace("sip:sbc.example", "sbc.example"),
        "line 6: targets: write the address of a server",
    );
    check(&trunk("").replace("sip:sbc", "sip:x@sbc"), "line 6: targets: write the address");
    check(
        &trunk("").replace("sbc.example", "sbc.example;transport=sctp"),
        "line 6: targets: write transport=udp",
    );
    check(&trunk("").replace("[{ uri = \"sip:sbc.example\" }]", "[]"), "targets: write 1 to 32");
    check(
        "[[trunk]]\nname = \"x\"\naddresses = [\"192.0.2.1\"]\norder = 5",
        "line 7: order: only for calls that leave: add targets",
    );
    check("[[trunk]]\nname = \"x\"", "line 5: name: a trunk is known by its addresses");
    let other = "[[trunk]]\nname = \"carrier\"\naddresses = [\"192.0.2.1\"]\n";
    check(&trunk(other), "line 10: name: carrier has a [[trunk]] already, in line 5");
    more("deny = [\"x\"]", "line 9: deny: write digits");
    more("caller_ids = [\"anna\"]", "line 9: caller_ids: write digits");
    more("prefix = \"+\"", "line 9: prefix: write digits");
    more("username = \"a\"", "line 9: username: a user name needs password");
    more("password = \"hush\"", "line 9: password: a password needs a username");
    more("realm = \"r\"", "line 9: realm: a realm needs username");
    more("register = true", "line 9: register: conflow registers with username");
    let both = "username = \"a\"\npassword = \"hush\"\npassword_file = \"x\"";
    more(both, "line 10: password: give either password or password_file");
    let none = "username = \"a\"\npassword_file = \"/nowhere\"";
    more(none, "line 10: password_file: /nowhere cannot be read");
    more("tls_ca = \"/nowhere\"", "line 9: tls_ca: /nowhere cannot be read");
    more("srtp = \"require\"", "line 6: targets: srtp = \"require\" needs TLS");
    more("codecs = [\"G729\"]", "line 9: codecs: write PCMU and PCMA");
    more("hosts = [\"a b\"]", "line 9: hosts: write a host name");
    more("domain = \"a:5060\"", "line 9: domain: write a host name");
    more("min_se = 1900", "line 9: min_se: session_expires (1800) is at least min_se (1900)");
    more("calls_max = 0", "line 9: calls_max: write a whole number from 1 to 100000");
    more("caller_id = \"x\"", "line 9: caller_id: unknown variant");
    more("colour = 1", "line 9: colour: unknown field");
    check("[sip]\ndial_allow = [\"a b\"]", "line 5: dial_allow: write a host name or a network");
}
