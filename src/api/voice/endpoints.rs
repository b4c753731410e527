//! Endpoints of the voice API (contracts 2.1 and 5.1), for both dialects.

use super::{
    account, applications, bans, calls, deliveries, events, member_action::MemberAction, members,
    record, recordings, rooms, sip_endpoints,
};
use crate::{
    api::{
        endpoint::{DELETE, Documented::Voice, Endpoint, POST, handler},
        openapi::DialectDescriber,
    },
    flow::RecordingFormat,
};

pub(in crate::api) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::reads("", handler!(account::show), Voice(DialectDescriber::show_account)),
    Endpoint::reads(
        "/Application",
        handler!(applications::list),
        Voice(DialectDescriber::list_applications),
    ),
    Endpoint::changes(
        POST,
        "/Application",
        handler!(applications::create),
        Voice(DialectDescriber::create_application),
    ),
    Endpoint::reads(
        "/Application/{app_id}",
        handler!(applications::show),
        Voice(DialectDescriber::show_application),
    ),
    Endpoint::changes(
        POST,
        "/Application/{app_id}",
        handler!(applications::update),
        Voice(DialectDescriber::update_application),
    ),
    Endpoint::changes(
        DELETE,
        "/Application/{app_id}",
        handler!(applications::delete),
        Voice(DialectDescriber::delete_application),
    ),
    Endpoint::reads(
        "/Endpoint",
        handler!(sip_endpoints::list),
        Voice(DialectDescriber::list_endpoints),
    ),
    Endpoint::changes(
        POST,
        "/Endpoint",
        handler!(sip_endpoints::create),
        Voice(DialectDescriber::create_endpoint),
    )
    .answers_itself(),
    Endpoint::reads(
        "/Endpoint/{endpoint_id}",
        handler!(sip_endpoints::show),
        Voice(DialectDescriber::show_endpoint),
    ),
    Endpoint::changes(
        POST,
        "/Endpoint/{endpoint_id}",
        handler!(sip_endpoints::update),
        Voice(DialectDescriber::update_endpoint),
    )
    .answers_itself(),
    Endpoint::changes(
        DELETE,
        "/Endpoint/{endpoint_id}",
        handler!(sip_endpoints::delete),
        Voice(DialectDescriber::delete_endpoint),
    ),
    Endpoint::reads("/Number", handler!(account::numbers), Voice(DialectDescriber::list_numbers)),
    Endpoint::reads(
        "/Recording",
        handler!(recordings::list),
        Voice(DialectDescriber::list_recordings),
    ),
    Endpoint::changes(
        POST,
        "/Recording/export",
        handler!(recordings::export),
        Voice(DialectDescriber::export_recordings),
    )
    .answers_itself(),
    Endpoint::reads(
        "/Recording/{recording}",
        handler!(recordings::show),
        Voice(DialectDescriber::show_recording),
    ),
    Endpoint::changes(
        DELETE,
        "/Recording/{recording}",
        handler!(recordings::delete),
        Voice(DialectDescriber::delete_recording),
    )
    .without_log(),
    Endpoint::reads(
        "/Recording/{recording}.wav",
        handler!(recordings::audio::wav),
        Voice(|it| it.download_recording(RecordingFormat::Wav)),
    )
    .downloads(),
    Endpoint::reads(
        "/Recording/{recording}.mp3",
        handler!(recordings::audio::mp3),
        Voice(|it| it.download_recording(RecordingFormat::Mp3)),
    )
    .downloads(),
    Endpoint::reads("/Conference", handler!(rooms::list), Voice(DialectDescriber::list_rooms)),
    Endpoint::changes(
        DELETE,
        "/Conference",
        handler!(rooms::hang_up_all),
        Voice(DialectDescriber::hang_up_all),
    ),
    Endpoint::reads(
        "/Conference/{name}",
        handler!(rooms::show),
        Voice(DialectDescriber::show_room),
    ),
    Endpoint::changes(
        DELETE,
        "/Conference/{name}",
        handler!(rooms::hang_up),
        Voice(DialectDescriber::hang_up_room),
    ),
    Endpoint::changes(
        POST,
        "/Conference/{name}/Record",
        handler!(record::start_room),
        Voice(DialectDescriber::record_room),
    )
    .answers_itself(),
    Endpoint::changes(
        DELETE,
        "/Conference/{name}/Record",
        handler!(record::stop_room),
        Voice(DialectDescriber::stop_recording_room),
    ),
    Endpoint::changes(
        POST,
        "/Conference/{name}/Record/Pause",
        handler!(record::pause_room),
        Voice(|it| it.pause_recording_room(true)),
    ),
    Endpoint::changes(
        POST,
        "/Conference/{name}/Record/Resume",
        handler!(record::resume_room),
        Voice(|it| it.pause_recording_room(false)),
    ),
    Endpoint::reads("/Conference/{name}/Ban", handler!(bans::list), Voice(|it| it.bans(false))),
    Endpoint::changes(
        DELETE,
        "/Conference/{name}/Ban",
        handler!(bans::lift_all),
        Voice(|it| it.lift_bans(false)),
    ),
    Endpoint::reads(
        "/Conference/{name}/Ban/{ban}",
        handler!(bans::show),
        Voice(|it| it.bans(true)),
    ),
    Endpoint::changes(
        DELETE,
        "/Conference/{name}/Ban/{ban}",
        handler!(bans::lift),
        Voice(|it| it.lift_bans(true)),
    ),
    Endpoint::changes(
        POST,
        "/Conference/{name}/Member",
        handler!(calls::invite::invite),
        Voice(DialectDescriber::dial_member),
    )
    .answers_itself(),
    Endpoint::changes(
        DELETE,
        "/Conference/{name}/Member/{members}",
        handler!(members::hang_up),
        Voice(|it| it.members(MemberAction::HangUp)),
    ),
    Endpoint::changes(
        POST,
        "/Conference/{name}/Member/{members}/Deaf",
        handler!(members::deafen),
        Voice(|it| it.members(MemberAction::Deafen)),
    ),
    Endpoint::changes(
        DELETE,
        "/Conference/{name}/Member/{members}/Deaf",
        handler!(members::undeafen),
        Voice(|it| it.members(MemberAction::Undeafen)),
    ),
    Endpoint::changes(
        POST,
        "/Conference/{name}/Member/{members}/Hold",
        handler!(members::hold),
        Voice(|it| it.members(MemberAction::Hold)),
    ),
    Endpoint::changes(
        DELETE,
        "/Conference/{name}/Member/{members}/Hold",
        handler!(members::unhold),
        Voice(|it| it.members(MemberAction::Unhold)),
    ),
    Endpoint::changes(
        POST,
        "/Conference/{name}/Member/{members}/Kick",
        handler!(members::kick),
        Voice(|it| it.members(MemberAction::Kick)),
    ),
    Endpoint::changes(
        POST,
        "/Conference/{name}/Member/{members}/Mute",
        handler!(members::mute),
        Voice(|it| it.members(MemberAction::Mute)),
    ),
    Endpoint::changes(
        DELETE,
        "/Conference/{name}/Member/{members}/Mute",
        handler!(members::unmute),
        Voice(|it| it.members(MemberAction::Unmute)),
    ),
    Endpoint::changes(
        POST,
        "/Conference/{name}/Member/{members}/Play",
        handler!(members::play),
        Voice(|it| it.members(MemberAction::Play)),
    ),
    Endpoint::changes(
        DELETE,
        "/Conference/{name}/Member/{members}/Play",
        handler!(members::stop_play),
        Voice(|it| it.members(MemberAction::StopPlay)),
    ),
    Endpoint::changes(
        POST,
        "/Conference/{name}/Member/{members}/Speak",
        handler!(members::speak),
        Voice(|it| it.members(MemberAction::Speak)),
    ),
    Endpoint::changes(
        DELETE,
        "/Conference/{name}/Member/{members}/Speak",
        handler!(members::stop_speak),
        Voice(|it| it.members(MemberAction::StopSpeak)),
    ),
    Endpoint::reads("/Call", handler!(calls::list), Voice(DialectDescriber::list_calls)),
    Endpoint::changes(
        POST,
        "/Call",
        handler!(calls::make::make),
        Voice(DialectDescriber::make_call),
    ),
    Endpoint::reads("/Call/{call_uuid}", handler!(calls::show), Voice(DialectDescriber::show_call)),
    Endpoint::changes(
        POST,
        "/Call/{call_uuid}",
        handler!(calls::transfer),
        Voice(DialectDescriber::transfer),
    ),
    Endpoint::changes(
        DELETE,
        "/Call/{call_uuid}",
        handler!(calls::end),
        Voice(DialectDescriber::hang_up_call),
    ),
    Endpoint::changes(
        POST,
        "/Call/{call_uuid}/DTMF",
        handler!(calls::send_digits),
        Voice(DialectDescriber::send_digits),
    ),
    Endpoint::changes(
        POST,
        "/Call/{call_uuid}/Play",
        handler!(calls::play),
        Voice(DialectDescriber::play),
    ),
    Endpoint::changes(
        DELETE,
        "/Call/{call_uuid}/Play",
        handler!(calls::stop_play),
        Voice(DialectDescriber::stop_play),
    ),
    Endpoint::changes(
        POST,
        "/Call/{call_uuid}/Record",
        handler!(record::start_call),
        Voice(DialectDescriber::record_call),
    )
    .answers_itself(),
    Endpoint::changes(
        DELETE,
        "/Call/{call_uuid}/Record",
        handler!(record::stop_call),
        Voice(DialectDescriber::stop_recording_call),
    ),
    Endpoint::changes(
        POST,
        "/Call/{call_uuid}/Record/Pause",
        handler!(record::pause_call),
        Voice(|it| it.pause_recording_call(true)),
    ),
    Endpoint::changes(
        POST,
        "/Call/{call_uuid}/Record/Resume",
        handler!(record::resume_call),
        Voice(|it| it.pause_recording_call(false)),
    ),
    Endpoint::changes(
        POST,
        "/Call/{call_uuid}/Speak",
        handler!(calls::speak),
        Voice(DialectDescriber::speak),
    ),
    Endpoint::changes(
        DELETE,
        "/Call/{call_uuid}/Speak",
        handler!(calls::stop_speak),
        Voice(DialectDescriber::stop_speak),
    ),
    Endpoint::reads(
        "/Call/{call_uuid}/Stream",
        handler!(calls::stream),
        Voice(|it| it.stream("get_stream")),
    ),
    Endpoint::changes(
        POST,
        "/Call/{call_uuid}/Stream",
        handler!(calls::stream),
        Voice(|it| it.stream("post_stream")),
    ),
    Endpoint::changes(
        DELETE,
        "/Call/{call_uuid}/Stream",
        handler!(calls::stream),
        Voice(|it| it.stream("delete_stream")),
    ),
    Endpoint::reads(
        "/Call/{call_uuid}/Stream/{stream}",
        handler!(calls::stream),
        Voice(|it| it.stream("get_stream_by_id")),
    ),
    Endpoint::changes(
        POST,
        "/Call/{call_uuid}/Stream/{stream}",
        handler!(calls::stream),
        Voice(|it| it.stream("post_stream_by_id")),
    ),
    Endpoint::changes(
        DELETE,
        "/Call/{call_uuid}/Stream/{stream}",
        handler!(calls::stream),
        Voice(|it| it.stream("delete_stream_by_id")),
    ),
    Endpoint::reads(
        "/Call/{call_uuid}/Trace",
        handler!(calls::trace),
        Voice(DialectDescriber::trace),
    ),
    Endpoint::changes(
        DELETE,
        "/Request/{request_uuid}",
        handler!(calls::cancel),
        Voice(DialectDescriber::cancel),
    ),
    Endpoint::reads(
        "/Delivery",
        handler!(deliveries::list),
        Voice(DialectDescriber::list_deliveries),
    ),
    Endpoint::reads(
        "/Delivery/{event_id}",
        handler!(deliveries::show),
        Voice(DialectDescriber::show_delivery),
    ),
    Endpoint::changes(
        POST,
        "/Delivery/{event_id}",
        handler!(deliveries::repeat),
        Voice(DialectDescriber::repeat_delivery),
    ),
    Endpoint::reads("/Events", handler!(events::serve), Voice(DialectDescriber::events))
        .answers_itself()
        .streams(),
];
