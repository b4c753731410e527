//! Configuration of real phones: checks `[sip]`, `[speech]` and `[[endpoint]]`.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use serde::{Serialize, Serializer};
use toml::Spanned;

use super::{AccountConfig, ConfigError, file::ConfigSource};
use crate::{
    base::ids::AccountId,
    base::network::{BadNetwork, IpNetwork},
    cli::{
        phones::{self, PortRange, SipBinds},
        settings::{ListenAddress, Secret},
    },
    rtp::sdp::crypto::SrtpPolicy,
    sip::trunk::DialHost,
    tls::TlsFiles,
};

/// Checked values of the table `[sip]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SipConfig {
    /// Addresses of the SIP listeners, UDP and TCP. Empty: there are no real phones.
    pub bind: SipBinds,
    /// Whether `bind` is the default. It is then no error if the address is taken.
    #[serde(skip)]
    pub is_default: bool,
    /// Address of SIP over TLS, if there is one; then the two files are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenAddress>,
    /// Its certificate, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// Public address of conflow, if phones reach it by another one than `bind`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertise: Option<IpAddr>,
    /// Whether unknown callers may call. None: only if all of `bind` is loopback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open: Option<bool>,
    /// UDP ports for audio; each call needs two.
    pub rtp_ports: PortRange,
    /// Names of conflow in SIP URIs, besides its addresses; in lower case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// Networks whose phones reach conflow without NAT.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub local_networks: Vec<IpNetwork>,
    /// Name servers for the hosts of trunks. Empty: those of the system.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<SocketAddr>,
    /// Hosts and networks that accounts may call without a trunk.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_texts")]
    pub dial_allow: Vec<DialHost>,
}

/// Checked values of the table `[speech]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpeechConfig {
    /// Program and arguments that read what the built-in voices cannot. Empty: `espeak-ng`, if it
    /// is installed.
    pub command: Vec<String>,
}

/// A row of `[[endpoint]]`: a phone that registers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EndpointConfig {
    /// User part of the phone's SIP URI, unique in the file.
    pub user: String,
    /// Password for digest authentication, never empty.
    pub password: Secret,
    /// Account whose flows the phone calls.
    pub account: AccountId,
    /// Whether the sound of its calls is encrypted.
    pub srtp: SrtpPolicy,
    /// `endpoint_id` of the API; None means the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Name that the API shows; None means the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Id of the application that its calls run; None means that they run the flows that they call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// Whether the row is in the file, where the API cannot change it.
    #[serde(skip)]
    pub is_fixed: bool,
}

/// Only this machine reaches the default address. The port is RFC 3261's, section 19.1.2.
const BIND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5060);
/// Neither registered nor ephemeral on Linux, and enough for 8,000 calls.
const RTP_PORTS: PortRange = PortRange { first: 16_384, last: 32_383 };

impl SipConfig {
    /// Values of `layer`, with defaults for what it does not set.
    pub(super) fn new(layer: &phones::SipSettings, local_networks: Vec<IpNetwork>) -> Self {
        Self {
            bind: layer.bind.clone().unwrap_or_else(|| SipBinds(vec![BIND])),
            is_default: layer.bind.is_none(),
            tls: layer.tls,
            tls_cert: layer.tls_cert.clone(),
            tls_key: layer.tls_key.clone(),
            advertise: layer.advertise,
            open: layer.open,
            rtp_ports: layer.rtp_ports.unwrap_or(RTP_PORTS),
            domains: domains(layer.domains.as_deref().unwrap_or_default()),
            local_networks,
            nameservers: Vec::new(),
            dial_allow: Vec::new(),
        }
    }
}

fn as_texts<S: Serializer>(rows: &[DialHost], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(rows.iter().map(ToString::to_string))
}

/// Host names as SIP URIs are compared: in lower case, without the brackets of IPv6.
fn domains(rows: &[String]) -> Vec<String> {
    rows.iter().map(|it| it.trim().to_ascii_lowercase()).collect()
}

impl SipConfig {
    /// The files of SIP over TLS, if it is on.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Incomplete`]: of address and files, some are missing.
    pub fn tls_files(&self) -> Result<Option<TlsFiles>, ConfigError> {
        let files = pair(&self.tls_cert, &self.tls_key, "[sip] tls_cert", "tls_key")?;
        match (self.tls, &files) {
            (Some(_), None) => Err(ConfigError::Incomplete(
                "[sip] tls (--sip-tls) needs a certificate: name the PEM files in tls_cert and tls_key"
                    .to_owned(),
            )),
            (None, Some(_)) => Err(ConfigError::Incomplete(
                "[sip] tls_cert is for SIP over TLS: name its address too, as tls = \"0.0.0.0:5061\""
                    .to_owned(),
            )),
            (Some(_), Some(_)) | (None, None) => Ok(files),
        }
    }
}

/// Both files of a certificate, or neither.
pub(super) fn pair(
    certificate: &Option<PathBuf>,
    key: &Option<PathBuf>,
    certificate_name: &str,
    key_name: &str,
) -> Result<Option<TlsFiles>, ConfigError> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => {
            Ok(Some(TlsFiles { certificate: certificate.clone(), key: key.clone() }))
        }
        (None, None) => Ok(None),
        (Some(_), None) | (None, Some(_)) => Err(ConfigError::Incomplete(format!(
            "{certificate_name} and {key_name} belong together: name both PEM files, or none"
        ))),
    }
}

impl ConfigSource<'_> {
    /// Parses a list of networks.
    pub(super) fn networks(&self, rows: &[Spanned<String>]) -> Result<Vec<IpNetwork>, ConfigError> {
        let network = |row: &Spanned<String>| {
            let bad = |error: BadNetwork| self.error_at(row.span(), error.to_string());
            row.as_ref().parse().map_err(bad)
        };
        rows.iter().map(network).collect()
    }

    /// Parses a list of name servers; one without a port has port 53.
    pub(super) fn nameservers(
        &self,
        rows: &[Spanned<String>],
    ) -> Result<Vec<SocketAddr>, ConfigError> {
        let server = |row: &Spanned<String>| {
            let text = row.as_ref().trim();
            let with_port = text.parse::<SocketAddr>().ok().filter(|it| it.port() != 0);
            let address = with_port.or_else(|| Some(SocketAddr::new(text.parse().ok()?, 53)));
            let wanted = || {
                let wanted = "write the IP address of a name server, such as 192.0.2.53 or \
                    [2001:db8::53]:5353";
                self.error_at(row.span(), format!("{wanted}, not {text:?}"))
            };
            address.ok_or_else(wanted)
        };
        rows.iter().map(server).collect()
    }

    /// Checks the endpoints: each user once, with a password and a known account.
    pub(super) fn endpoints(
        &self,
        rows: &[phones::EndpointSettings],
        accounts: &[AccountConfig],
    ) -> Result<Vec<EndpointConfig>, ConfigError> {
        let mut lines = BTreeMap::new();
        let mut endpoints = Vec::with_capacity(rows.len());
        for row in rows {
            let (user, span) = (row.user.as_ref(), row.user.span());
            let is_user = |c: char| c.is_ascii_alphanumeric() || "-_.!~*'()&=+$,;?/".contains(c);
            if user.is_empty() || !user.chars().all(is_user) {
                let wanted = "write the user of a SIP URI: letters, digits and -_.!~*'()&=+$,;?/";
                return Err(self.error_at(span, wanted.to_owned()));
            }
            if let Some(line) = lines.insert(user, self.line(span.clone())) {
                let why = format!("{user} has an [[endpoint]] already, in line {line}");
                return Err(self.error_at(span, why));
            }
            let password = row.password.as_ref().0.clone();
            if password.0.is_empty() {
                let wanted = "an endpoint needs a password; make one with: openssl rand -hex 10";
                return Err(self.error_at(row.password.span(), wanted.to_owned()));
            }
            let account = self.owner(&row.account, accounts)?;
            endpoints.push(EndpointConfig {
                user: user.to_owned(),
                password,
                account,
                srtp: row.srtp,
                id: row.id.clone(),
                alias: row.alias.clone(),
                application: row.application.clone(),
                is_fixed: true,
            });
        }
        Ok(endpoints)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use tempfile::tempdir;

    use crate::{
        cli::{self, Command},
        config::{Config, ConfigError},
    };

    const ACCOUNT: &str = "[[account]]\nid = \"MA1\"\ntokens = [\"0123456789abcdef\"]\n";

    fn load(text: &str, flags: &str) -> Result<Config, ConfigError> {
        let temp = tempdir().unwrap();
        fs::write(temp.path().join("conflow.toml"), format!("{ACCOUNT}{text}")).unwrap();
        let line = format!("conflow serve {flags}");
        let command = cli::parse(line.split_whitespace().map(Into::into)).unwrap();
        let Command::Serve(serve) = command else { panic!("{line}") };
        Config::load(*serve, None, temp.path())
    }

    #[test]
    fn phones_are_on_this_machine_unless_somebody_says_otherwise() {
        let sip = load("", "").unwrap().sip;
        assert_eq!((sip.bind.to_string().as_str(), sip.is_default), ("127.0.0.1:5060", true));
        let sip = load("[sip]\nbind = \"0.0.0.0:5060,[::]:5060\"", "").unwrap().sip;
        assert_eq!((sip.bind.0.len(), sip.is_default), (2, false));
        let sip = load("[sip]\nbind = \"0.0.0.0:5060\"", "--sip off").unwrap().sip;
        assert_eq!((sip.bind.0.len(), sip.is_default), (0, false));
        let sip = load("", "--rtp-ports 20000-20099 --sip-advertise 192.0.2.1").unwrap().sip;
        assert_eq!(sip.rtp_ports.to_string(), "20000-20099");
        assert_eq!(sip.advertise, Some("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn endpoints_and_trunks_are_read_and_printed_without_their_passwords() {
        let text = "[sip]\nlocal_networks = [\"10.0.0.0/8\"]\n\
            [[endpoint]]\nuser = \"anna\"\npassword = \"hush-hush\"\naccount = \"MA1\"\n\
            [[trunk]]\nname = \"carrier\"\naddresses = [\"192.0.2.0/24\"]\n";
        let config = load(text, "").unwrap();
        assert_eq!(config.endpoints[0].user, "anna");
        assert_eq!(config.trunks[0].addresses[0].to_string(), "192.0.2.0/24");
        let printed = config.to_toml();
        assert!(printed.contains("local_networks = [\"10.0.0.0/8\"]"), "{printed}");
        assert!(!printed.contains("hush") && !format!("{config:?}").contains("hush"), "{printed}");
    }

    #[test]
    fn networks_may_be_written_by_any_of_their_addresses() {
        let text = "[sip]\nlocal_networks = [\"10.0.0.1/8\"]\n\
            [fetch]\nallow = [\"10.0.0.1/8\", \"::1\"]\n\
            [[trunk]]\nname = \"carrier\"\naddresses = [\"192.0.2.7/24\"]\n";
        let printed = load(text, "").unwrap().to_toml();
        for expected in [
            "local_networks = [\"10.0.0.0/8\"]",
            "allow = [\"10.0.0.0/8\", \"::1/128\"]",
            "addresses = [\"192.0.2.0/24\"]",
        ] {
            assert!(printed.contains(expected), "{expected}: {printed}");
        }
        let printed = load("", "--fetch-allow 10.0.0.1/8").unwrap().to_toml();
        assert!(printed.contains("allow = [\"10.0.0.0/8\"]"), "{printed}");
    }

    #[test]
    fn a_name_server_may_have_a_port() {
        let text = "[sip]\nnameservers = [\"192.0.2.53\", \"[::1]:5353\", \"::1\"]\n";
        let config = load(text, "").unwrap();
        let servers: Vec<_> = config.sip.nameservers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.53:53", "[::1]:5353", "[::1]:53"]);
        assert!(config.to_toml().contains("nameservers = ["));
    }

    #[test]
    fn errors_are_reported_by_line() {
        let check = |text: &str, expected: &str| {
            let refused = load(text, "").and_then(|it| it.check_accounts(&BTreeSet::new()));
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains(expected), "{refused}");
            assert!(!refused.contains("hush"), "{refused}");
        };
        let anna = "[[endpoint]]\nuser = \"anna\"\npassword = \"hush\"\naccount = \"MA1\"\n";
        check("[sip]\nbind = \"5060\"", "line 5: bind: write an IP address and a port");
        check("[sip]\nrtp_ports = \"9-7\"", "line 5: rtp_ports: write two ports from 1024");
        let bad_network = "write a network, such as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7, not";
        check(
            "[sip]\nlocal_networks = [\"ten\"]",
            &format!("line 5: local_networks: {bad_network} \"ten\""),
        );
        check("[fetch]\nallow = [\"ten\"]", &format!("{bad_network} \"ten\""));
        check("[sip]\nnameservers = [\"ns.example\"]", "line 5: nameservers: write the IP address");
        check(
            &format!("{anna}{anna}"),
            "line 9: user: anna has an [[endpoint]] already, in line 5",
        );
        check(&anna.replace("MA1", "MA2"), "line 7: account: there is no such [[account]]");
        check(&anna.replace("\"hush\"", "1"), "line 6: password: write a string");
        check(&anna.replace("hush", ""), "line 6: password: an endpoint needs a password");
        check("[[trunk]]\nname = \"x\"\naddresses = []", "line 6: addresses: a trunk is known");
    }
}
