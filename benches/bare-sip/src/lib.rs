//! A server that answers calls with rsipstack 0.7 alone.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::Arc,
};

use rsipstack::{
    EndpointBuilder,
    dialog::{
        DialogId,
        dialog::{Dialog, DialogState},
        dialog_layer::DialogLayer,
    },
    sip::{Header, Method, Scheme, StatusCode, Uri},
    transport::{TransportLayer, udp::UdpConnection},
};
use socket2::SockRef;

const RECEIVE_BUFFER: usize = 4 << 20;

/// Answers every call with this description until it is dropped. Calls `ready` once with its
/// address.
pub async fn answer(ready: impl FnOnce(SocketAddr), description: &'static str) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    // With the buffer size of the crate itself, packets are lost.
    SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER).expect("it is a socket");
    socket.set_nonblocking(true).expect("it is a socket");
    let socket = tokio::net::UdpSocket::from_std(socket).expect("a runtime");
    let address = socket.local_addr().expect("it is bound");
    let socket = UdpConnection::from_socket(Arc::new(socket), None, None).await.expect("a socket");
    let transport = TransportLayer::new(Default::default());
    transport.add_transport(socket.into());
    let endpoint = EndpointBuilder::new().with_transport_layer(transport).build();
    let mut incoming = endpoint.incoming_transactions().expect("nobody else has taken it");
    let layer = Arc::new(DialogLayer::new(endpoint.inner.clone()));
    let (states, mut changes) = layer.new_dialog_state_channel();
    let contact = Uri {
        scheme: Some(Scheme::Sip),
        auth: None,
        host_with_port: address.into(),
        params: vec![],
        headers: vec![],
    };
    ready(address);

    let take = async {
        while let Some(mut transaction) = incoming.recv().await {
            if transaction.original.method == Method::Invite {
                let mut dialog = layer
                    .get_or_create_server_invite(
                        &transaction,
                        states.clone(),
                        None,
                        Some(contact.clone()),
                    )
                    .expect("a sound INVITE");
                tokio::spawn(async move { dialog.handle(&mut transaction).await });
            } else if transaction.original.method == Method::Bye {
                let id = DialogId::try_from(&transaction).expect("a sound BYE");
                transaction.reply(StatusCode::OK).await.expect("a transaction");
                layer.remove_dialog(&id);
            } else if let Some(mut dialog) = layer.match_dialog(&transaction) {
                tokio::spawn(async move { dialog.handle(&mut transaction).await });
            }
        }
    };
    let follow = async {
        while let Some(change) = changes.recv().await {
            match change {
                DialogState::Calling(id) => {
                    let Some(Dialog::Invite(dialog)) = layer.get_dialog(&id) else { continue };
                    let headers = vec![Header::ContentType("application/sdp".into())];
                    dialog.accept(Some(headers), Some(description.into())).expect("it rings");
                }
                DialogState::Terminated(id, _) => layer.remove_dialog(&id),
                _ => {}
            }
        }
    };
    tokio::select! {
        () = endpoint.serve() => {}
        () = take => {}
        () = follow => {}
    }
}
