//! Resolver: asks the DNS for the addresses of SIP hosts, with a cache, time limit and bounded work.

use std::{net::SocketAddr, panic::AssertUnwindSafe, sync::OnceLock, time::Duration};

use futures_util::{FutureExt, future::join_all};
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::{Name, RData, Record},
};
use tokio::time::{Instant, timeout_at};

use super::resolve::{
    ADDRESSES_MAX, NameQuery, ResolvedAddress, ServiceRecord, by_priority_and_weight,
};

/// Time for all questions about one host.
pub const QUERY_WAIT_MAX: Duration = Duration::from_secs(5);

/// Time for a name server's answer before it, or another one, is asked again.
const SERVER_WAIT_MAX: Duration = Duration::from_millis(1_500);

/// How long an answer is used at most, whatever its TTL says.
const ANSWER_AGE_MAX: Duration = Duration::from_secs(300);

/// How long the absence of a name is believed at most: it may just be being set up.
const ABSENCE_AGE_MAX: Duration = Duration::from_secs(60);

/// Limit of cached answers: a few names, each with a handful of records.
const CACHE_MAX: u64 = 1_024;

/// Limit of SRV records of one name that are looked at.
const SERVICES_MAX: usize = 32;

/// The resolver of one process; it begins to work with the first name.
pub struct NameResolver {
    servers: Vec<SocketAddr>,
    /// Whether our sockets reach IPv4, and IPv6.
    reaches: (bool, bool),
    /// None: there is no name server.
    dns: OnceLock<Option<TokioResolver>>,
}

impl NameResolver {
    /// A resolver that asks these name servers, or those of the system if there are none. `binds` are
    /// the addresses of our sockets: only addresses that they reach are looked for.
    pub fn new(servers: &[SocketAddr], binds: &[SocketAddr]) -> Self {
        let reaches = (
            binds.is_empty() || binds.iter().any(SocketAddr::is_ipv4),
            binds.iter().any(SocketAddr::is_ipv6),
        );
        Self { servers: servers.to_vec(), reaches, dns: OnceLock::new() }
    }

    /// Returns the addresses of a host in the order in which to try them, at most [`ADDRESSES_MAX`].
    /// None: the host does not exist, or nobody answered in time.
    pub async fn resolve(&self, query: &NameQuery) -> Vec<ResolvedAddress> {
        if let Some(address) = query.literal() {
            return vec![address];
        }
        // A panic in the resolver must not leave a call without its answer.
        let mut found = match AssertUnwindSafe(self.ask(query)).catch_unwind().await {
            Ok(found) => found,
            Err(_) => {
                tracing::error!(host = %query.host, "the DNS resolver has panicked");
                Vec::new()
            }
        };
        found.truncate(ADDRESSES_MAX);
        found
    }

    async fn ask(&self, query: &NameQuery) -> Vec<ResolvedAddress> {
        let Some(dns) = self.dns.get_or_init(|| self.start()) else { return Vec::new() };
        let ends = Instant::now() + QUERY_WAIT_MAX;
        let mut is_refused = false;
        for (transport, name) in query.services() {
            let records = services(dns, &name, ends).await;
            is_refused |= records.iter().any(|it| it.target == ".");
            let records = records.into_iter().filter(|it| it.target != ".").take(SERVICES_MAX);
            let rank = |it: &ServiceRecord| (it.priority, it.weight);
            let records = by_priority_and_weight(records.collect(), rank, random_up_to());
            if records.is_empty() {
                continue;
            }
            let of = records.iter().take(ADDRESSES_MAX).map(|it| async move {
                let ips = addresses(dns, &it.target, it.port, ends).await;
                ips.into_iter().map(move |address| ResolvedAddress { transport, address })
            });
            return join_all(of).await.into_iter().flatten().collect();
        }
        if is_refused {
            // RFC 2782: the service is decidedly not available at this domain.
            return Vec::new();
        }
        let (transport, port) = query.without_service();
        let found = addresses(dns, &query.host, port, ends).await;
        found.into_iter().map(|address| ResolvedAddress { transport, address }).collect()
    }

    fn start(&self) -> Option<TokioResolver> {
        match self.build() {
            Ok(dns) => Some(dns),
            Err(error) => {
                tracing::warn!(
                    %error,
                    "host names of SIP cannot be resolved: the system has no usable name server; \
                     name one in [sip] nameservers"
                );
                None
            }
        }
    }

    fn build(&self) -> Result<TokioResolver, NetError> {
        let mut builder = match self.servers.is_empty() {
            true => TokioResolver::builder_tokio()?,
            false => {
                let servers = self.servers.iter().map(server).collect();
                let config = ResolverConfig::from_name_servers(servers);
                let provider = TokioRuntimeProvider::default();
                TokioResolver::builder_with_config(config, provider)
            }
        };
        let ResolverOpts {
            timeout,
            attempts,
            ip_strategy,
            cache_size,
            positive_max_ttl,
            negative_max_ttl,
            ..
        } = builder.options_mut();
        (*timeout, *attempts) = (SERVER_WAIT_MAX, 1);
        *ip_strategy = match self.reaches {
            (true, false) => LookupIpStrategy::Ipv4Only,
            (false, _) => LookupIpStrategy::Ipv6Only,
            (true, true) => LookupIpStrategy::Ipv4AndIpv6,
        };
        *cache_size = CACHE_MAX;
        *positive_max_ttl = Some(ANSWER_AGE_MAX);
        *negative_max_ttl = Some(ABSENCE_AGE_MAX);
        builder.build()
    }
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let with_port = |mut it: ConnectionConfig| {
        it.port = address.port();
        it
    };
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(with_port);
    NameServerConfig::new(address.ip(), true, connections.into())
}

/// Returns the SRV records of a name. None: there are none, or nobody has answered in time.
async fn services(dns: &TokioResolver, name: &str, ends: Instant) -> Vec<ServiceRecord> {
    let Ok(Ok(found)) = timeout_at(ends, dns.srv_lookup(name)).await else { return Vec::new() };
    let record = |it: &Record| {
        // There may also be the CNAME that led here.
        let RData::SRV(srv) = &it.data else { return None };
        Some(ServiceRecord {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: srv.target.to_ascii(),
        })
    };
    found.answers().iter().filter_map(record).collect()
}

/// Returns the addresses of a host, IPv4 first. A name with a dot in it is complete: the search list
/// of the system is for names without one.
async fn addresses(dns: &TokioResolver, host: &str, port: u16, ends: Instant) -> Vec<SocketAddr> {
    let Ok(mut name) = Name::from_ascii(host) else { return Vec::new() };
    if host.contains('.') {
        name.set_fqdn(true);
    }
    let Ok(Ok(found)) = timeout_at(ends, dns.lookup_ip(name)).await else { return Vec::new() };
    let mut ips: Vec<_> = found.iter().collect();
    ips.sort_by_key(std::net::IpAddr::is_ipv6);
    ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()
}

/// A source of random numbers from 0 to a maximum.
fn random_up_to() -> impl FnMut(u64) -> u64 {
    |max| getrandom::u64().unwrap_or(0) % (max + 1)
}
