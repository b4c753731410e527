//! Encryption in SDP: which offers are taken, how they are answered, and what ours look like.

use std::net::IpAddr;

use conflow::rtp::sdp::{
    LocalMedia, Negotiation, Refusal,
    crypto::{SrtpPolicy, SrtpSecret, SrtpSuite},
};

const SESSION: &str = "v=0\no=- 1 1 IN IP4 192.0.2.7\ns=-\nc=IN IP4 192.0.2.7\nt=0 0\n";
const SHA_80: &str = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 \
                      inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20\n";
const SHA_32: &str = "a=crypto:7 AES_CM_128_HMAC_SHA1_32 \
                      inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR\n";
const GCM: &str = "a=crypto:2 AEAD_AES_128_GCM inline:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nw==\n";
const WITH_MKI: &str = "a=crypto:3 AES_CM_128_HMAC_SHA1_80 \
                        inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4\n";

fn route(named: Option<IpAddr>) -> IpAddr {
    named.unwrap_or_else(|| IpAddr::from([203, 0, 113, 1]))
}

fn negotiation(policy: SrtpPolicy) -> Negotiation {
    let local = LocalMedia { address: "198.51.100.1".parse().unwrap(), port: 20_000, session: 77 };
    Negotiation::new(local).encrypted(policy, SrtpSecret([5; 32]))
}

fn described(profile: &str, lines: &str) -> Vec<u8> {
    format!("{SESSION}m=audio 4000 {profile} 0\n{lines}").into_bytes()
}

/// The start of the audio line and of the key that an answer has.
#[track_caller]
fn check(policy: SrtpPolicy, offer: (&str, &str), expected: Result<(&str, &str), Refusal>) {
    let answer = negotiation(policy).answer(&described(offer.0, offer.1), &route);
    match (answer, expected) {
        (Ok((answer, agreed)), Ok((profile, crypto))) => {
            let audio = format!("m=audio 20000 {profile} 0\r\n");
            assert!(answer.contains(&audio), "{policy:?} {offer:?}: {answer}");
            let line = answer.lines().find_map(|it| it.strip_prefix("a=crypto:"));
            let n_lines = answer.matches("a=crypto").count();
            assert_eq!(n_lines, usize::from(!crypto.is_empty()), "{answer}");
            let line = line.unwrap_or_default();
            assert!(line.starts_with(crypto), "{policy:?} {offer:?}: {line}");
            assert_eq!(agreed.srtp.is_some(), !crypto.is_empty());
        }
        (answer, Err(refusal)) => assert_eq!(answer.unwrap_err(), refusal, "{policy:?} {offer:?}"),
        (Err(refusal), Ok(_)) => panic!("{policy:?} {offer:?}: {refusal}"),
    }
}

#[test]
fn an_offer_is_answered_in_its_own_profile_with_its_first_usable_key() {
    use SrtpPolicy::{Allow, Off, Offer, Require};
    let both = format!("{GCM}{SHA_80}");
    let skipped = format!("{WITH_MKI}{SHA_32}");
    let sha_80 = "1 AES_CM_128_HMAC_SHA1_80 inline:";
    for policy in [Allow, Offer, Require] {
        check(policy, ("RTP/SAVP", SHA_80), Ok(("RTP/SAVP", sha_80)));
        check(policy, ("RTP/SAVPF", &both), Ok(("RTP/SAVPF", "2 AEAD_AES_128_GCM inline:")));
        let sha_32 = "7 AES_CM_128_HMAC_SHA1_32 inline:";
        check(policy, ("RTP/SAVP", &skipped), Ok(("RTP/SAVP", sha_32)));
        check(policy, ("RTP/AVP", SHA_80), Ok(("RTP/AVP", sha_80)));
        for lines in ["", WITH_MKI, "a=crypto:1 F8_128_HMAC_SHA1_80 inline:YQ==\n"] {
            check(policy, ("RTP/SAVP", lines), Err(Refusal::Crypto));
        }
    }
    for policy in [Allow, Offer] {
        check(policy, ("RTP/AVP", ""), Ok(("RTP/AVP", "")));
        check(policy, ("RTP/AVP", WITH_MKI), Ok(("RTP/AVP", "")));
    }
    check(Require, ("RTP/AVP", ""), Err(Refusal::Plain));
    check(Require, ("RTP/AVP", WITH_MKI), Err(Refusal::Plain));
    check(Off, ("RTP/SAVP", SHA_80), Err(Refusal::Encrypted));
    check(Off, ("RTP/AVP", SHA_80), Ok(("RTP/AVP", "")));
    let refusals = [Refusal::Encrypted, Refusal::Plain, Refusal::Crypto];
    assert_eq!(refusals.map(|it| it.warning()), [302, 302, 306]);
}

/// RFC 8643: best effort in two lines.
#[test]
fn of_an_encrypted_line_and_a_plain_one_the_first_that_fits_is_taken() {
    let offer = [described("RTP/SAVP", WITH_MKI), b"m=audio 4002 RTP/AVP 0\n".to_vec()].concat();
    let (answer, agreed) = negotiation(SrtpPolicy::Allow).answer(&offer, &route).unwrap();
    assert!(answer.contains("m=audio 0 RTP/SAVP 0\r\nm=audio 20000 RTP/AVP 0\r\n"), "{answer}");
    assert_eq!(agreed.srtp, None);
}

#[test]
fn each_end_protects_what_it_sends_with_its_own_key_and_a_refresh_repeats_ours() {
    let mut it = negotiation(SrtpPolicy::Allow);
    let (first, agreed) = it.answer(&described("RTP/SAVP", SHA_80), &route).unwrap();
    let keys = agreed.srtp.unwrap();
    assert_eq!(keys.theirs.key(), b"YS___semctl () {");
    assert_ne!(keys.ours.key(), keys.theirs.key());
    let (again, agreed) = it.answer(&described("RTP/SAVP", SHA_80), &route).unwrap();
    assert_eq!((again, agreed.srtp), (first, Some(keys.clone())));

    let (_, agreed) = it.answer(&described("RTP/SAVP", SHA_32), &route).unwrap();
    assert_ne!(agreed.srtp.unwrap().ours.key(), keys.ours.key(), "each suite has its own key");

    // Our own refresh, and its answer.
    let offer = it.offer();
    assert!(offer.contains("RTP/SAVP") && offer.contains("a=crypto:7 "), "{offer}");
    let agreed = it.accept(&described("RTP/SAVP", SHA_32), &route).unwrap();
    assert_eq!(agreed.srtp.unwrap().ours.suite(), SrtpSuite::AesCm128HmacSha1Tag32);
    assert_eq!(it.accept(&described("RTP/AVP", ""), &route).unwrap_err(), Refusal::Plain);

    let mut other =
        Negotiation::new(LocalMedia { address: [127, 0, 0, 1].into(), port: 2, session: 1 })
            .encrypted(SrtpPolicy::Allow, SrtpSecret([6; 32]));
    let (_, agreed) = other.answer(&described("RTP/SAVP", SHA_80), &route).unwrap();
    assert_ne!(agreed.srtp.unwrap().ours.key(), keys.ours.key(), "each call has its own key");
}

#[test]
fn our_offer_has_keys_as_the_policy_says() {
    for (policy, profile, n_keys) in [
        (SrtpPolicy::Off, "RTP/AVP", 0),
        (SrtpPolicy::Allow, "RTP/AVP", 0),
        (SrtpPolicy::Offer, "RTP/AVP", 2),
        (SrtpPolicy::Require, "RTP/SAVP", 2),
    ] {
        let offer = negotiation(policy).offer();
        assert!(offer.contains(&format!("m=audio 20000 {profile} 0 8 101\r\n")), "{offer}");
        assert_eq!(offer.matches("a=crypto:").count(), n_keys, "{offer}");
    }
    let accepted = |policy, profile, lines| {
        let mut it = negotiation(policy);
        it.offer();
        it.accept(&described(profile, lines), &route).map(|it| it.srtp.map(|it| it.ours.suite()))
    };
    let cm = Some(SrtpSuite::AesCm128HmacSha1Tag80);
    assert_eq!(accepted(SrtpPolicy::Offer, "RTP/AVP", SHA_80), Ok(cm));
    assert_eq!(accepted(SrtpPolicy::Offer, "RTP/AVP", GCM), Ok(Some(SrtpSuite::AeadAes128Gcm)));
    assert_eq!(accepted(SrtpPolicy::Offer, "RTP/AVP", ""), Ok(None));
    assert_eq!(accepted(SrtpPolicy::Offer, "RTP/SAVP", ""), Err(Refusal::Crypto));
    assert_eq!(accepted(SrtpPolicy::Require, "RTP/SAVP", SHA_80), Ok(cm));
    assert_eq!(accepted(SrtpPolicy::Require, "RTP/SAVP", ""), Err(Refusal::Crypto));
    assert_eq!(accepted(SrtpPolicy::Require, "RTP/SAVP", SHA_32), Err(Refusal::Crypto));
    assert_eq!(accepted(SrtpPolicy::Require, "RTP/AVP", ""), Err(Refusal::Plain));
    assert_eq!(accepted(SrtpPolicy::Allow, "RTP/AVP", SHA_80), Ok(None), "nobody asked for it");
}

#[test]
fn no_key_is_shown() {
    let mut it = negotiation(SrtpPolicy::Require);
    let offer = it.offer();
    let key = offer.split("inline:").nth(1).unwrap().lines().next().unwrap();
    let agreed = it.accept(&described("RTP/SAVP", SHA_80), &route).unwrap();
    let shown = format!("{it:?} {agreed:?}");
    for secret in [key, "WVNfX19z", "[89, 83, 95"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
