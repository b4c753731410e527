//! DNS server on loopback: answers from a table, says that a name is missing, or keeps silent.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use hickory_resolver::proto::{
    op::{Message, OpCode, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata::SRV},
};
use parking_lot::Mutex;
use tokio::net::UdpSocket;

/// A name server with one table; it stops with the runtime.
#[derive(Clone)]
pub(crate) struct DnsServer {
    pub(crate) address: SocketAddr,
    rows: Arc<Mutex<Vec<Record>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl DnsServer {
    pub(crate) async fn start() -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let it = Self { address, rows: Arc::default(), asked: Arc::default() };
        let server = it.clone();
        tokio::spawn(async move {
            let mut buffer = vec![0; 4_096];
            while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
                if let Some(answer) = server.answer(&buffer[..len]) {
                    socket.send_to(&answer, from).await.unwrap();
                }
            }
        });
        it
    }

    /// Adds an A or AAAA record.
    pub(crate) fn host(&self, name: &str, ttl: u32, ip: &str) {
        let data = match ip.parse().unwrap() {
            IpAddr::V4(ip) => RData::A(ip.into()),
            IpAddr::V6(ip) => RData::AAAA(ip.into()),
        };
        self.add(name, ttl, data);
    }

    /// Adds an SRV record.
    pub(crate) fn service(&self, name: &str, (priority, weight): (u16, u16), to: (&str, u16)) {
        let target = Name::from_ascii(to.0).unwrap();
        self.add(name, 60, RData::SRV(SRV::new(priority, weight, to.1, target)));
    }

    fn add(&self, name: &str, ttl: u32, data: RData) {
        self.rows.lock().push(Record::from_rdata(Name::from_ascii(name).unwrap(), ttl, data));
    }

    /// Removes all records of a name.
    pub(crate) fn forget(&self, name: &str) {
        let name = Name::from_ascii(name).unwrap();
        self.rows.lock().retain(|it| it.name != name);
    }

    /// The questions since the last time, such as `A a.example.`.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock())
    }

    /// None: silence, for names that begin with `silent`.
    fn answer(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let question = Message::from_vec(bytes).unwrap();
        let query = question.queries[0].clone();
        let (name, kind): (_, RecordType) = (query.name().clone(), query.query_type());
        self.asked.lock().push(format!("{kind} {name}"));
        if name.to_ascii().contains("silent") {
            return None;
        }
        let mut answer = Message::response(question.metadata.id, OpCode::Query);
        answer.metadata.recursion_available = true;
        answer.add_query(query);
        let rows = self.rows.lock();
        let of_name: Vec<_> = rows.iter().filter(|it| it.name == name).cloned().collect();
        if of_name.is_empty() {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        answer.add_answers(of_name.into_iter().filter(|it| it.record_type() == kind));
        Some(answer.to_vec().unwrap())
    }
}
