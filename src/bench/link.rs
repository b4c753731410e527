//! HTTP/1.1 connection of the load generator: as cheap as possible, since the server is to be
//! measured.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A connection that is reused for all requests.
pub(super) struct BenchConnection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// Status and body of a response.
#[derive(Clone, Copy, Debug)]
pub(super) struct BenchResponse<'a> {
    pub(super) status: u16,
    pub(super) body: &'a [u8],
}

impl BenchConnection {
    pub(super) async fn open(http: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(http).await;
        let stream = stream.with_context(|| format!("nobody answers at {http}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(8 * 1024) })
    }

    /// Sends a request, and reads the response, which must have a length.
    pub(super) async fn ask(&mut self, request: &[u8]) -> Result<BenchResponse<'_>> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            self.read().await?;
            if let Some(head) = ResponseHead::parse(&self.buffer)? {
                break head;
            }
        };
        while self.buffer.len() < head.bytes + head.body_bytes {
            self.read().await?;
        }
        let body = &self.buffer[head.bytes..head.bytes + head.body_bytes];
        Ok(BenchResponse { status: head.status, body })
    }

    async fn read(&mut self) -> Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => bail!("the server has closed a connection before its answer"),
            _ => Ok(()),
        }
    }
}

#[derive(Debug, Eq, PartialEq)]
struct ResponseHead {
    status: u16,
    bytes: usize,
    body_bytes: usize,
}

impl ResponseHead {
    /// None if the head is incomplete.
    fn parse(buffer: &[u8]) -> Result<Option<Self>> {
        let Some(end) = buffer.windows(4).position(|it| it == b"\r\n\r\n") else {
            return Ok(None);
        };
        let text = str::from_utf8(&buffer[..end])?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|it| it.get(9..12)).and_then(|it| it.parse().ok());
        let length = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        match (status, length) {
            (Some(204), _) => Ok(Some(Self { status: 204, bytes: end + 4, body_bytes: 0 })),
            (Some(status), Some(body_bytes)) => {
                Ok(Some(Self { status, bytes: end + 4, body_bytes }))
            }
            _ => bail!("unsupported response: {text:?}"),
        }
    }
}

/// Whether `sought` occurs in `bytes`.
pub(super) fn has(bytes: &[u8], sought: &[u8]) -> bool {
    bytes.windows(sought.len()).any(|it| it == sought)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let check = |text: &str, expected: Option<(u16, usize, usize)>| {
            let head = ResponseHead::parse(text.as_bytes()).unwrap();
            assert_eq!(head.map(|it| (it.status, it.bytes, it.body_bytes)), expected, "{text:?}");
        };
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", None);
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", Some((200, 38, 2)));
        check("HTTP/1.1 204 No Content\r\nx: y\r\n\r\n", Some((204, 33, 0)));
        assert!(
            ResponseHead::parse(b"HTTP/1.1 200 OK\r\nx: y\r\n\r\n").is_err(),
            "without a length"
        );
        assert!(ResponseHead::parse(b"nonsense\r\n\r\n").is_err());
    }
}
