//! Settings of the engine's parts, as the configuration gives them.

use std::{net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use crate::{
    accounts::Accounts,
    api::{self, Caps, RateLimit, Trust, voice},
    base::network::IpNetwork,
    call::{
        AnswerUrls, Hook,
        numbers::{FlowSource, NumberRoute, Numbers},
    },
    cli::settings::{HttpMethod, PlivoMembers, VobizAnswers},
    config::{self, Config},
    engine::inbound,
    fetch::{self, HiddenNames},
    flow::RequestMethod,
    sim_phones::{self, SimPhones},
};

/// The vendors count requests within this time (contract 7).
const RATE_PERIOD: Duration = Duration::from_secs(5);

/// Lists the users of an account's `[[endpoint]]` rows.
pub(super) fn endpoint_users(config: &Config) -> api::EndpointUsers {
    let rows: Vec<_> =
        config.endpoints.iter().map(|it| (it.account.clone(), it.user.clone())).collect();
    Box::new(move |account| {
        let theirs = rows.iter().filter(|(owner, _)| owner == account);
        theirs.map(|(_, user)| user.clone()).collect()
    })
}

pub(super) fn simulated_phones(config: &Config) -> SimPhones {
    SimPhones::new(sim_phones::Settings {
        speech_ms_per_char: config.sim.speech_ms_per_char.get(),
        beep_ms: config.sim.beep_ms.get(),
        sound_ms: config.sim.sound_ms.get(),
    })
}

pub(super) fn inbound_settings(config: &Config, accounts: Arc<Accounts>) -> inbound::Settings {
    let mut numbers = Numbers::default();
    for number in &config.numbers {
        numbers.insert(&number.called, row(number));
    }
    let call_time_limit = Duration::from_secs(config.call_time_limit.get().into());
    inbound::Settings { numbers, accounts, call_time_limit }
}

fn row(number: &config::NumberConfig) -> NumberRoute {
    let method = match number.answer_method.unwrap_or_default() {
        HttpMethod::Get => RequestMethod::Get,
        HttpMethod::Post => RequestMethod::Post,
    };
    let hook = |url: &String, method| Hook { url: url.as_str().into(), method };
    let source = match (&number.answer_url, &number.flow) {
        (Some(url), _) => {
            let fallback = number.fallback_url.as_ref().map(|url| hook(url, method));
            FlowSource::Web(AnswerUrls { hook: hook(url, method), fallback })
        }
        (None, flow) => FlowSource::Flow(flow.as_deref().unwrap_or_default().into()),
    };
    let hangup = number.hangup_url.as_ref().map(|url| hook(url, RequestMethod::Post));
    NumberRoute { account: number.account.clone(), source, hangup, dialect: number.dialect }
}

/// In development, receivers may be on this machine, too.
pub(super) fn fetch_settings(config: &Config, http: SocketAddr) -> fetch::Settings {
    let mut allow = config.fetch.allow.clone();
    if is_open_to_itself(config, http) {
        allow.extend(LOOPBACK.iter().map(|it| it.parse::<IpNetwork>().expect("a network")));
    }
    let hide = HiddenNames::new(&config.log.hide);
    fetch::Settings { allow, hide, ..fetch::Settings::default() }
}

/// Whether requests may go to this machine: only if it alone can ask for them.
pub(super) fn is_open_to_itself(config: &Config, http: SocketAddr) -> bool {
    config.file.is_none() && http.ip().is_loopback()
}

const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1"];

pub(super) fn trust(config: &Config) -> Trust {
    let origins = config.cors.origins.iter().map(|it| it.0.clone()).collect();
    Trust { proxies: config.trusted_proxies.clone(), origins }
}

pub(super) fn api_settings(config: &Config) -> api::Settings {
    let requests = NonZeroU32::new(config.rate_limit.get());
    let voice = voice::Settings {
        plivo: match config.voice.plivo {
            PlivoMembers::ByClient => voice::PlivoForm::ByClient,
            PlivoMembers::String => voice::PlivoForm::String,
            PlivoMembers::Array => voice::PlivoForm::Array,
        },
        vobiz: match config.voice.vobiz {
            VobizAnswers::Documented => voice::VobizForm::Documented,
            VobizAnswers::Live => voice::VobizForm::Live,
        },
    };
    let rate_limit = requests.map(|requests| RateLimit { requests, period: RATE_PERIOD });
    let per_second = NonZeroU32::new(config.calls_per_second.get());
    let rate = per_second.map(|requests| RateLimit { requests, period: Duration::from_secs(1) });
    let caps = Caps { calls: NonZeroU32::new(config.calls_max.get()), rate };
    api::Settings { voice, rate_limit, caps, ..Default::default() }
}
