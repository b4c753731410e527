//! Host names of SIP, asked for at a DNS server on loopback.

use conflow::sip::{
    request::Transport,
    resolve::{ADDRESSES_MAX, NameQuery},
    resolver::{NameResolver, QUERY_WAIT_MAX},
};

use super::*;
use crate::dns::DnsServer;

fn resolver(dns: &DnsServer) -> NameResolver {
    let binds = ["0.0.0.0:5060", "[::]:5060"].map(|it| it.parse().unwrap());
    NameResolver::new(&[dns.address], &binds)
}

async fn ask(
    resolver: &NameResolver,
    host: &str,
    port: Option<u16>,
    transport: Option<Transport>,
) -> Vec<String> {
    let query = NameQuery { host: host.into(), port, transport };
    let found = timeout(WAIT_MAX, resolver.resolve(&query)).await.unwrap();
    found.iter().map(|it| format!("{} {}", it.transport.as_str(), it.address)).collect()
}

#[tokio::test]
async fn services_come_by_priority_and_a_dead_one_does_not_hide_the_others() {
    let dns = DnsServer::start().await;
    dns.service("_sip._udp.carrier.example.", (20, 0), ("b.carrier.example.", 5070));
    dns.service("_sip._udp.carrier.example.", (10, 0), ("dead.carrier.example.", 5060));
    dns.service("_sip._udp.carrier.example.", (10, 9), ("a.carrier.example.", 5080));
    dns.host("a.carrier.example.", 60, "192.0.2.1");
    dns.host("a.carrier.example.", 60, "2001:db8::1");
    dns.host("b.carrier.example.", 60, "192.0.2.2");
    let resolver = resolver(&dns);
    let found = ask(&resolver, "carrier.example", None, None).await;
    assert_eq!(found, ["UDP 192.0.2.1:5080", "UDP [2001:db8::1]:5080", "UDP 192.0.2.2:5070"]);
    assert!(!dns.asked().iter().any(|it| it == "SRV _sip._tcp.carrier.example."));
}

#[tokio::test]
async fn the_transport_decides_which_service_is_asked_for() {
    let dns = DnsServer::start().await;
    dns.service("_sip._tcp.carrier.example.", (1, 1), ("tcp.carrier.example.", 5070));
    dns.service("_sips._tcp.carrier.example.", (1, 1), ("tls.carrier.example.", 5071));
    dns.host("tcp.carrier.example.", 60, "192.0.2.1");
    dns.host("tls.carrier.example.", 60, "192.0.2.2");
    dns.host("carrier.example.", 60, "192.0.2.3");
    let resolver = resolver(&dns);
    for (port, transport, expected) in [
        (None, None, "TCP 192.0.2.1:5070"),
        (None, Some(Transport::Tcp), "TCP 192.0.2.1:5070"),
        (None, Some(Transport::Tls), "TLS 192.0.2.2:5071"),
        (None, Some(Transport::Udp), "UDP 192.0.2.3:5060"),
        (Some(5090), None, "UDP 192.0.2.3:5090"),
        (Some(5090), Some(Transport::Tls), "TLS 192.0.2.3:5090"),
    ] {
        let found = ask(&resolver, "carrier.example", port, transport).await;
        assert_eq!(found, [expected], "{port:?} {transport:?}");
    }
    let none = ask(&resolver, "tls.carrier.example", None, Some(Transport::Tls)).await;
    assert_eq!(none, ["TLS 192.0.2.2:5061"], "no SRV records");
}

#[tokio::test]
async fn a_service_that_is_declared_absent_has_no_addresses() {
    let dns = DnsServer::start().await;
    dns.service("_sip._udp.carrier.example.", (0, 0), (".", 0));
    dns.host("carrier.example.", 60, "192.0.2.3");
    let resolver = resolver(&dns);
    assert_eq!(ask(&resolver, "carrier.example", None, Some(Transport::Udp)).await, [""; 0]);
    dns.service("_sip._tcp.carrier.example.", (0, 0), ("carrier.example.", 5060));
    assert_eq!(ask(&resolver, "carrier.example", None, None).await, ["TCP 192.0.2.3:5060"]);
}

#[tokio::test]
async fn nothing_comes_of_names_that_do_not_exist() {
    let dns = DnsServer::start().await;
    let resolver = resolver(&dns);
    for host in ["none.example", "not a name", ""] {
        assert_eq!(ask(&resolver, host, None, None).await, [""; 0], "{host:?}");
    }
}

/// On a paused clock: it goes on by itself while everybody waits.
#[tokio::test(start_paused = true)]
async fn silence_has_an_end() {
    let dns = DnsServer::start().await;
    let (resolver, began) = (resolver(&dns), tokio::time::Instant::now());
    assert_eq!(ask(&resolver, "silent.example", None, None).await, [""; 0]);
    assert_eq!(began.elapsed().as_secs(), QUERY_WAIT_MAX.as_secs());
    assert_eq!(ask(&resolver, "silent.example", Some(5060), None).await, [""; 0]);
    assert!(began.elapsed() < 2 * QUERY_WAIT_MAX);
}

#[tokio::test]
async fn answers_are_cached_for_their_ttl_and_cut_to_a_few() {
    let dns = DnsServer::start().await;
    for n in 1..=12 {
        dns.host("many.example.", 60, &format!("192.0.2.{n}"));
    }
    dns.host("brief.example.", 0, "192.0.2.1");
    let resolver = resolver(&dns);
    for _ in 0..2 {
        assert_eq!(ask(&resolver, "many.example", Some(5060), None).await.len(), ADDRESSES_MAX);
    }
    let asked = dns.asked();
    assert_eq!(asked.iter().filter(|it| *it == "A many.example.").count(), 1, "{asked:?}");
    for ip in ["192.0.2.1", "192.0.2.2"] {
        dns.forget("brief.example.");
        dns.host("brief.example.", 0, ip);
        let found = ask(&resolver, "brief.example", Some(5060), None).await;
        assert_eq!(found, [format!("UDP {ip}:5060")]);
    }
}

#[tokio::test]
async fn only_addresses_that_our_sockets_reach_are_found() {
    let dns = DnsServer::start().await;
    dns.host("both.example.", 60, "192.0.2.1");
    dns.host("both.example.", 60, "2001:db8::1");
    for (bind, expected) in
        [("127.0.0.1:0", "UDP 192.0.2.1:5060"), ("[::1]:0", "UDP [2001:db8::1]:5060")]
    {
        let resolver = NameResolver::new(&[dns.address], &[bind.parse().unwrap()]);
        assert_eq!(ask(&resolver, "both.example", Some(5060), None).await, [expected]);
    }
}
