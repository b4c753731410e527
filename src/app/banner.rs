//! Banner of development mode: addresses and folders, and commands to try, ready to paste.

use std::{
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, absolute},
};

use crate::config::Config;

/// More would not be read.
const FLOWS_SHOWN_MAX: usize = 16;

/// Text of the banner.
///
/// `token_file` contains the token; None if it is from the environment. It is never shown, since
/// text on a screen soon ends up in a log. `code` signs in to the console, once and for ten minutes.
pub(super) fn text(
    config: &Config,
    (http, sip): (SocketAddr, &[SocketAddr]),
    flows: &[String],
    (token_file, code): (Option<&Path>, Option<&str>),
    is_open_to_itself: bool,
) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let url = format!("http://{}", reachable(http));
    let id = &config.accounts[0].id;
    let token = match token_file {
        Some(path) => format!("in {}", path.display()),
        None => "from CONFLOW_AUTH_TOKEN".to_owned(),
    };
    let (folder, listed) = (config.flows.display(), listed(flows));
    let mut text = format!(
        "
conflow {version} serves {url}, in development mode (there is no configuration file)

{}  docs     {url}/docs
  account  {id}, its token {token}
  flows    {folder}: {listed}
  phones   {}
  requests {} (--fetch-allow)
",
        console(config.console.on, &url, code),
        phones(config.sim.on, sip),
        if is_open_to_itself { "may go to this machine" } else { "may not go to this machine" },
    );
    if config.sim.on {
        let token = match token_file {
            Some(path) => format!("\"$(cat {})\"", quoted(&path.display().to_string())),
            None => "\"$CONFLOW_AUTH_TOKEN\"".to_owned(),
        };
        let has_flow = flows.iter().any(|name| name == "kick");
        let watch = watch(&url, token_file);
        let flow = if has_flow { String::new() } else { write_flow(&config.flows) };
        text += &format!(
            r#"
Try it in another terminal: three phones dial into a conference; who is in it? One is kicked.

{flow}  URL={url} ID={id} TOKEN={token}
  api() {{ curl -sS -H "X-Auth-ID: $ID" -H "X-Auth-Token: $TOKEN" -H 'Content-Type: application/json' "$@"; echo; }}
  ROOM=$URL/api/v1/Account/$ID/Conference/MyConference
  for phone in 1 2 3; do api $URL/sim/v1/Account/$ID/Phone/ -d '{{"to":"kick"}}'; done
  api $ROOM/
  MEMBER=$(api $ROOM/ | sed 's/.*"member_id":"\([0-9]*\)".*/\1/')
  api $ROOM/Member/$MEMBER/Kick/ -d '{{}}'

See the rooms, and who is in them, in one more terminal:

  {watch}

"#
        );
    }
    text
}

/// The link to the console; empty if it is off.
fn console(is_on: bool, url: &str, code: Option<&str>) -> String {
    match (is_on, code) {
        (false, _) => String::new(),
        (true, None) => format!("  console  {url}/console/\n"),
        (true, Some(code)) => format!(
            "  console  {url}/console/#code={code}\n           (this link signs in once, within 10 \
             minutes)\n"
        ),
    }
}

/// The phones that can call, and where.
fn phones(has_simulated: bool, sip: &[SocketAddr]) -> String {
    let addresses: Vec<_> = sip.iter().map(|it| reachable(*it).to_string()).collect();
    let sip = format!("SIP on {} (UDP and TCP)", addresses.join(", "));
    match (has_simulated, addresses.is_empty()) {
        (true, true) => "simulated; no SIP (--sip)".to_owned(),
        (true, false) => format!("simulated; {sip}"),
        (false, true) => "none (--sim, --sip)".to_owned(),
        (false, false) => sip,
    }
}

/// The command that shows the rooms.
fn watch(url: &str, token_file: Option<&Path>) -> String {
    match token_file {
        Some(path) => {
            let file = quoted(&path.display().to_string());
            format!("CONFLOW_AUTH_TOKEN=\"$(cat {file})\" conflow watch --url {url}")
        }
        None => format!("conflow watch --url {url}"),
    }
}

/// A command that writes the flow which the following commands call.
fn write_flow(folder: &Path) -> String {
    let folder = absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let folder = quoted(&folder.display().to_string());
    format!(
        "  mkdir -p {folder}; cat >{folder}/kick.xml <<'END'
  <Response>
    <Conference enterSound=\"beep:1\">MyConference</Conference>
    <Speak>You have been disconnected from the conference</Speak>
  </Response>
END
"
    )
}

/// Prints the text in one write, so that a reader never sees a part of it. An engine serves without it,
/// too: a closed pipe or a full disk is ignored.
pub(super) fn print(text: &str) {
    debug_assert!(text.ends_with('\n'), "standard output keeps the rest of a line back");
    let mut out = io::stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// Address by which this machine reaches a server that listens on all addresses.
fn reachable(http: SocketAddr) -> SocketAddr {
    let ip = match http.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(_) | IpAddr::V6(_) => http.ip(),
    };
    SocketAddr::new(ip, http.port())
}

fn listed(flows: &[String]) -> String {
    if flows.is_empty() {
        return "nothing yet (put NAME.xml there, and call NAME)".to_owned();
    }
    let shown = flows[..flows.len().min(FLOWS_SHOWN_MAX)].join(", ");
    match flows.len().checked_sub(FLOWS_SHOWN_MAX) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}

/// Quotes a text for a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    match text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::serve::ServeArgs, config::Config};

    fn banner(http: &str, token: Option<&str>, flows: usize, token_file: Option<&str>) -> String {
        let token = token.map(str::to_owned);
        let config = Config::load(ServeArgs::default(), token, Path::new("/nowhere")).unwrap();
        let flows: Vec<_> = (0..flows).map(|n| format!("f{n:02}")).collect();
        let sip = ["0.0.0.0:5060".parse().unwrap()];
        let (addresses, secrets) =
            ((http.parse().unwrap(), &sip[..]), (token_file.map(Path::new), None));
        text(&config, addresses, &flows, secrets, true)
    }

    #[test]
    fn what_a_newcomer_needs_next_is_named() {
        let text = banner("127.0.0.1:8080", None, 1, Some("/it's here/dev-token"));
        assert!(text.contains("  docs     http://127.0.0.1:8080/docs\n"), "{text}");
        assert!(text.contains("simulated; SIP on 127.0.0.1:5060 (UDP and TCP)\n"), "{text}");
        let watch = "here/dev-token')\" conflow watch --url http://127.0.0.1:8080\n";
        assert!(text.contains(watch), "{text}");
        let link = console(true, "http://127.0.0.1:8080", Some("c0de"));
        let expected =
            "  console  http://127.0.0.1:8080/console/#code=c0de\n           (this link ";
        assert!(link.starts_with(expected), "{link}");
        assert_eq!(console(false, "http://127.0.0.1:8080", Some("c0de")), "");
        let none = phones(false, &[]);
        assert_eq!(
            (phones(true, &[]).as_str(), none.as_str()),
            ("simulated; no SIP (--sip)", "none (--sim, --sip)")
        );
    }

    #[test]
    fn the_token_is_named_and_never_shown() {
        let file = banner("127.0.0.1:8080", None, 1, Some("/it's here/dev-token"));
        assert!(file.contains("its token in /it's here/dev-token"), "{file}");
        assert!(file.contains(r#"TOKEN="$(cat '/it'\''s here/dev-token')""#), "{file}");
        let variable = banner("127.0.0.1:8080", Some("open-sesame"), 1, None);
        assert!(variable.contains("TOKEN=\"$CONFLOW_AUTH_TOKEN\""), "{variable}");
        assert!(!variable.contains("open-sesame"));
    }

    #[test]
    fn the_url_is_one_that_can_be_reached_from_here() {
        for (http, url) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::]:80", "http://[::1]:80"),
            ("192.0.2.1:80", "http://192.0.2.1:80"),
        ] {
            assert!(banner(http, None, 1, None).contains(&format!("URL={url} ")), "{http}");
        }
    }

    #[test]
    fn flows_are_listed_as_far_as_anybody_reads_and_the_missing_one_is_written() {
        let without = banner("127.0.0.1:8080", None, 2, None);
        assert!(without.contains("/flows/kick.xml <<'END'\n  <Response>"), "{without}");
        for (flows, expected) in [(0, "nothing yet"), (2, ": f00, f01\n"), (18, "f15 and 2 more\n")]
        {
            let text = banner("127.0.0.1:8080", None, flows, None);
            assert!(text.contains(expected), "{flows}: {text}");
        }
    }
}
