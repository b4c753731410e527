//! Settings of the engine's parts, as the configuration gives them.

use std::{net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use crate::{
    accounts::Accounts,
    api::{self, Caps, RateLimit, Trust, voice},
    base::network::IpNetwork,
    call::{
        AnswerUrls, Hook,
        applications::ApplicationRoutes,
        numbers::{FlowSource, NumberRoute, Numbers},
    },
    cli::settings::{PlivoMembers, VobizAnswers},
    config::{self, Config},
    engine::inbound,
    fetch::{self, HiddenNames},
    flow::RequestMethod,
    provisioning::CallApplication,
    sim_phones::{self, SimPhones},
};

/// The vendors count requests within this time (contract 7).
const RATE_PERIOD: Duration = Duration::from_secs(5);

pub(super) fn simulated_phones(config: &Config) -> SimPhones {
    let phones = SimPhones::new(sim_phones::Settings {
        speech_ms_per_char: config.sim.speech_ms_per_char.get(),
        beep_ms: config.sim.beep_ms.get(),
        sound_ms: config.sim.sound_ms.get(),
    });
    phones.keeping_rows(config.recovery.simulated && config.has_state_log)
}

pub(super) fn inbound_settings(config: &Config, accounts: Arc<Accounts>) -> inbound::Settings {
    let mut numbers = Numbers::default();
    for number in &config.numbers {
        numbers.insert(&number.called, row(number));
    }
    let applications = application_routes(config);
    let call_time_limit = Duration::from_secs(config.call_time_limit.get().into());
    inbound::Settings { numbers, applications, accounts, call_time_limit }
}

/// The applications, and those that endpoints have. The log says which ones are not there.
fn application_routes(config: &Config) -> ApplicationRoutes {
    let mut routes = ApplicationRoutes::default();
    for application in &config.applications {
        routes.insert(&application.id, application_route(application), application.is_public);
    }
    for endpoint in &config.endpoints {
        let Some(id) = &endpoint.application else { continue };
        let (user, account) = (&endpoint.user, &endpoint.account);
        if !config.applications.iter().any(|it| it.id == *id && it.account == *account) {
            tracing::warn!(
                "the endpoint {user} names the application {id}, which {account} does not have: its \
                 calls run the flows that they call"
            );
        }
        routes.attach(user, id);
    }
    routes
}

fn application_route(it: &CallApplication) -> NumberRoute {
    let hook = |url: &str, method| Hook { url: url.into(), method };
    let fallback = it.fallback_url.as_ref().map(|url| hook(url, it.fallback_method));
    let answer = AnswerUrls { hook: hook(&it.answer_url, it.answer_method), fallback };
    // A flow is asked for a document, and is told of nothing.
    let hangup = Some(it.hangup()).filter(|url| !url.starts_with("flow:"));
    NumberRoute {
        account: it.account.clone(),
        source: FlowSource::Web(answer),
        hangup: hangup.map(|url| hook(url, it.hangup_method)),
        dialect: it.dialect,
    }
}

fn row(number: &config::NumberConfig) -> NumberRoute {
    let method = number.answer_method.unwrap_or_default().into();
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
