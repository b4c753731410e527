//! Recording of what a kicked caller hears, for people to listen to and look at.

use std::{env, fs, path::Path};

use crate::{
    ear,
    leg::{Leg, LegOptions},
    program::{Conflow, beside_others},
};

/// The flow that new users see first.
const KICK: &str = include_str!("../../flows/kick.xml");

#[test]
#[ignore = "it writes a file, where HEAR says: run tests/phones/hear.sh"]
fn the_sound_of_a_kicked_caller_is_recorded() {
    let _share = beside_others();
    let folder = env::var("HEAR").expect("HEAR names a folder");
    let conflow = Conflow::start(&[("kick", KICK)]);
    let others = [("bert", 700.0), ("carl", 1_100.0)].map(|(user, tone)| {
        Leg::call(
            conflow.sip,
            "kick",
            user,
            LegOptions { tone: Some(tone), ..LegOptions::default() },
        )
    });
    let anna = Leg::call(conflow.sip, "kick", "anna", LegOptions::default());
    let [member, ..] = conflow.wait_members("MyConference", ["anna", "bert", "carl"]);
    anna.hear(3_000);
    conflow.order("POST", "MyConference", &format!("Member/{member}/Kick/"));
    anna.wait_for("BYE");
    let heard: Vec<i16> = anna.sounds().into_iter().flat_map(|it| it.samples).collect();
    drop(others);
    fs::create_dir_all(&folder).unwrap();
    fs::write(Path::new(&folder).join("kicked.wav"), ear::wav(heard.into())).unwrap();
}
