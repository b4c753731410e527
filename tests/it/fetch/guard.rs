//! The fetch guard: addresses it refuses, in every notation, for every name, after every redirect.

use super::*;

/// Hosts that must not be reached, in every notation that a URL allows for an address.
const CLOSED: &[&str] = &[
    // Loopback, as decimal, short, octal, hexadecimal and mixed numbers.
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0X7F.1",
    "0177.0.0.1",
    "0x7f.0x0.0x0.0x1",
    "0177.0x0.1",
    "127.0.0.01",
    "0",
    "0.0.0.0",
    // In other characters, and percent-encoded.
    "①②⑦.⓪.⓪.①",
    "１２７。０。０。１",
    "%31%32%37.0.0.1",
    "127%2e0%2e0%2e1",
    // IPv6, and IPv4 inside it.
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:7f00:0001]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[fe80::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "[2001:db8::1]",
    "[::ffff:a9fe:a9fe]",
    // Private, metadata, and others.
    "10.0.0.1",
    "10.1",
    "0xa000001",
    "167772161",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "192.168.257",
    "3232235777",
    "169.254.169.254",
    "0xA9FEA9FE",
    "2852039166",
    "0251.0376.0251.0376",
    "168.63.129.16",
    "100.100.100.200",
    "100.64.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
];

#[tokio::test(start_paused = true)]
async fn no_notation_of_an_address_gets_past_the_guard() {
    let net = Net::new();
    let client = client(&net, &[]);
    for host in CLOSED {
        let error = get(&client, &format!("http://{host}/")).await.expect_err(host);
        assert!(error.refused().is_some(), "{host}: {error}");
        assert!(error.to_string().contains("fetch.allow"), "{host}: {error}");
        assert!(!error.is_temporary(), "{host}");
        let target = TargetUrl::parse(&format!("http://{host}/")).unwrap();
        assert_eq!(client.check(&target).err(), error.refused(), "{host}");
    }
    assert_eq!((net.dialed(), net.looked_up()), (vec![], 0));
}

#[tokio::test(start_paused = true)]
async fn a_name_is_judged_by_every_address_it_has_at_that_moment() {
    let check = async |allow: &[&str], answers: &[&[&str]], expected: &[&str]| {
        let net = Net::new();
        net.name("example.com", answers);
        // A client that never connects dials again each time.
        let client = client(&net, allow);
        for _ in answers {
            let error =
                client.fetch_once(&request(RequestMethod::Get, "http://example.com/", &[])).await;
            let _ = error.unwrap_err();
        }
        assert_eq!(net.dialed(), expected, "{allow:?} {answers:?}");
    };

    check(&[], &[&["127.0.0.1"]], &[]).await;
    check(&[], &[&["10.0.0.1", "::1"]], &[]).await;
    // The name changes its address between two look-ups.
    check(&[], &[&[PUBLIC], &["169.254.169.254"]], &["93.184.215.14:80"]).await;
    check(&[], &[&["::ffff:10.0.0.1"], &[PUBLIC]], &["93.184.215.14:80"]).await;
    // Of several addresses, only the permitted ones are tried.
    check(&[], &[&["10.0.0.1", PUBLIC, "64:ff9b::7f00:1"]], &["93.184.215.14:80"]).await;
    check(&["127.0.0.0/8"], &[&["::1", "127.0.0.1"]], &["127.0.0.1:80"]).await;
    check(&["10.0.0.0/8"], &[&["10.0.0.1"]], &["10.0.0.1:80"]).await;
    check(&[], &[&[]], &[]).await;
    // A name with very many addresses does not keep the client busy.
    let many: Vec<_> = (1..100).map(|n| format!("9.9.9.{n}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let first: Vec<_> = (1..9).map(|n| format!("9.9.9.{n}:80")).collect();
    check(&[], &[&many], &first.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_goes_to_the_checked_address_with_one_look_up_per_connection() {
    let net = Net::new();
    net.name("example.com", &[&[PUBLIC], &["127.0.0.1"]]);
    net.serve("93.184.215.14:80", echoing());
    net.serve("127.0.0.1:80", echoing());
    let client = client(&net, &[]);

    // The second request reuses the connection of the first, without a look-up.
    for _ in 0..2 {
        let answer = get(&client, "http://example.com/a").await.unwrap();
        assert_eq!(answer.body, "GET /a example.com - ");
    }
    assert_eq!((net.dialed(), net.looked_up()), (vec!["93.184.215.14:80".to_owned()], 1));

    // An idle connection is closed; the name now has another address, which is refused.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let error = get(&client, "http://example.com/a").await.unwrap_err();
    assert_eq!(error.refused().unwrap().address, "127.0.0.1".parse::<std::net::IpAddr>().unwrap());
    assert_eq!(net.dialed().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn every_hop_of_a_redirect_is_judged() {
    let check = async |location: &'static str, expected: &str| {
        let net = Net::new();
        net.name("example.com", &[&[PUBLIC]]);
        net.name("inside.example", &[&["10.0.0.1"]]);
        for address in ["93.184.215.14:80", "10.0.0.1:80", "127.0.0.1:80"] {
            let away = move || async move { (StatusCode::FOUND, [(LOCATION, location)]) };
            net.serve(address, echoing().route("/away", any(away)));
        }
        let found = match get(&client(&net, &[]), "http://example.com/away").await {
            Ok(answer) => String::from_utf8(answer.body.to_vec()).unwrap(),
            Err(error) => error.to_string(),
        };
        assert!(found.contains(expected), "{location}: {found}");
        assert!(net.dialed().iter().all(|it| it.starts_with(PUBLIC)), "{location}");
    };

    check("/b?c=d", "GET /b?c=d example.com").await;
    check("http://example.com/e", "GET /e example.com").await;
    check("http://127.0.0.1/", "127.0.0.1 is a loopback address").await;
    check("//127.1/", "127.0.0.1 is a loopback address").await;
    check("http://[::ffff:7f00:1]/", "::ffff:127.0.0.1 is a loopback address").await;
    check("http://inside.example/", "10.0.0.1 is a private address").await;
    check("http://me:secret@example.com/", "must not name a user or a password").await;
    check("file:///etc/passwd", "must begin with http:// or https://").await;
    check("gopher://example.com/", "must begin with http:// or https://").await;
    check("/away", "redirects more than 3 times").await;
}

#[tokio::test]
async fn the_real_net_is_guarded_in_the_same_way() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://localhost:{}/x", listener.local_addr().unwrap().port());
    tokio::spawn(async move { axum::serve(listener, echoing()).await });
    let client = |allow: &[&str]| {
        let allow = allow.iter().map(|it| it.parse().unwrap()).collect();
        let settings = Settings { allow, ..Settings::default() };
        FetchClient::new(settings, Arc::new(Internet)).unwrap()
    };

    let error = get(&client(&[]), &url).await.unwrap_err();
    assert_eq!(error.refused().unwrap().range, "a loopback address");
    let answer = get(&client(&["127.0.0.0/8"]), &url).await.unwrap();
    assert!(answer.body.starts_with(b"GET /x localhost:"), "{answer:?}");
}
