use crate::harness::{ACCESS, COMPONENT, access, component, settings};
use crate::stand_in::{Behavior, StandIn};
use serde_json::json;
use terrace_provider::conformance::{Fixture, Suite};
use terrace_provider_witboost::WitboostProvider;

#[tokio::test]
async fn provider_passes_the_conformance_suite() {
    let default = Behavior::default;
    for behavior in [
        default(),
        Behavior { quoted: true, has_v2: false, running_answers: 0, ..default() },
        Behavior { sync: true, ..default() },
        Behavior { token_statuses: [500, 503, 502, 504, 429].into(), ..default() },
    ] {
        let stand_in = StandIn::start(behavior).await;
        let url = stand_in.url();
        let component_fixture = Fixture::new(COMPONENT, "described", component(url, "urn:dmb:cmp:d:p:0:a", 1))
            .update(component(url, "urn:dmb:cmp:d:p:0:a", 2))
            .replace(component(url, "urn:dmb:cmp:d:p:0:b", 1))
            .conceals(&["privateInfo"])
            .not_adoptable()
            .not_importable();
        let access_fixture =
            Fixture::new(ACCESS, "of two", access(url, "urn:dmb:cmp:d:p:0:c", &["user:ada", "group:dev"]))
                .update(access(url, "urn:dmb:cmp:d:p:0:c", &["user:ada"]))
                .replace(access(url, "urn:dmb:cmp:d:p:0:d", &[]))
                .not_adoptable()
                .not_importable();
        let provider = WitboostProvider::new();
        let report =
            Suite::new(&provider, settings(json!({}))).fixture(component_fixture).fixture(access_fixture).run().await;
        assert!(report.is_clean(), "{report}");
        assert!(report.shown() > 20, "{report}");
        assert!(stand_in.state().components.is_empty(), "{:?}", stand_in.state().components);
    }
}
