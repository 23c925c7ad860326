//! The data of a platform.

use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A validation that the platform received.
#[derive(Debug, Clone)]
pub struct Validation {
    /// The name of the data product in the catalog.
    pub product: String,
    /// The text of the descriptor.
    pub descriptor: String,
    /// The version of the data product.
    pub version: String,
    /// The environment.
    pub environment: String,
}

/// A JWT that was issued.
#[derive(Debug)]
struct Issued {
    until: Instant,
}

/// A platform.
#[derive(Debug)]
pub(crate) struct World {
    /// The valid access tokens, each with its permissions.
    pub(crate) access_tokens: BTreeMap<String, BTreeSet<String>>,
    /// The issued JWTs, each with its access token.
    issued: BTreeMap<String, (Issued, String)>,
    count: usize,
    /// The environments of the Builder.
    pub(crate) environments: BTreeSet<String>,
    /// The registered adapters by id and environment.
    pub(crate) adapters: BTreeMap<(String, String), Json>,
    /// True if the platform refuses to replace an adapter.
    pub(crate) keeps_adapters: bool,
    /// The data products of the catalog.
    pub(crate) products: BTreeSet<String>,
    /// The results of the next validations; without any, every phase passes.
    pub(crate) results: Option<Json>,
    /// The received validations.
    pub(crate) validations: Vec<Validation>,
}

impl Default for World {
    fn default() -> Self {
        let environments = ["development", "production"].map(str::to_owned).into();
        Self {
            access_tokens: BTreeMap::new(),
            issued: BTreeMap::new(),
            count: 0,
            environments,
            adapters: BTreeMap::new(),
            keeps_adapters: false,
            products: BTreeSet::new(),
            results: None,
            validations: Vec::new(),
        }
    }
}

impl World {
    /// Issues a JWT for an access token.
    pub(crate) fn issue(&mut self, access_token: &str, lifetime: Duration) -> String {
        self.count += 1;
        let jwt = format!("eyJ.jwt-number-{}.signature", self.count);
        let issued = Issued { until: Instant::now() + lifetime };
        self.issued.insert(jwt.clone(), (issued, access_token.to_owned()));
        jwt
    }

    /// The permissions of a JWT; `None` if it is unknown or has expired, or its access token was revoked.
    pub(crate) fn permissions(&self, jwt: &str) -> Option<&BTreeSet<String>> {
        let (issued, access_token) = self.issued.get(jwt)?;
        (Instant::now() < issued.until).then(|| self.access_tokens.get(access_token))?
    }

    /// Ends the lifetime of all JWTs.
    pub(crate) fn expire(&mut self) {
        self.issued.clear();
    }

    /// The phases of a validation without errors.
    pub(crate) fn passed() -> Json {
        let phase = |name: &str| json!({"validationPhaseKind": name, "status": "PASSED", "errors": null});
        json!([
            phase("POLICY_COMPONENT_VALIDATION_PHASE"),
            phase("COMPONENT_VALIDATION_PHASE"),
            phase("DATAPRODUCT_VALIDATION_PHASE"),
        ])
    }
}
