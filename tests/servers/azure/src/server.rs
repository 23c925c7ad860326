//! A stand-in that runs, and what a test does with it.

use crate::http::{State, router};
use crate::world::{Audience, World};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use ring::signature::RsaKeyPair;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::sync::{Arc, MutexGuard, PoisonError};
use terrace_test_databricks::{Faults, Seen, StandIn};
use terrace_test_listening::{ANY, Listening};

/// The tenant.
pub const TENANT: &str = "11111111-aaaa-4000-8000-000000000001";
/// The application id of the service principal that terrace works as.
pub const CLIENT: &str = "22222222-bbbb-4000-8000-000000000002";
/// Its secret.
pub const SECRET: &str = "azure~s3cret";
/// The subscription.
pub const SUBSCRIPTION: &str = "33333333-cccc-4000-8000-000000000003";
/// The resource group that is there.
pub const GROUP: &str = "data";
/// The account of Databricks.
pub const ACCOUNT: &str = "44444444-dddd-4000-8000-000000000004";
/// The id of the metastore `main`, which is that of every stand-in of a workspace.
pub const METASTORE: &str = "0aa0aa00-0000-4000-8000-00000000a0a0";

/// A stand-in, as long as it is not dropped. Its service principal may make workspaces in the resource group `data` and is
/// administrator of the account, which has the metastores `main` and `other` and, as the tenant has, a few people and groups.
#[derive(Debug)]
pub struct Azure {
    url: String,
    state: Arc<State>,
    // What answers, as long as this is there.
    _listening: Listening,
}

impl Azure {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// When there is none to be had.
    #[must_use]
    pub fn start() -> Self {
        Self::start_on(ANY)
    }

    /// Starts one on an address.
    ///
    /// # Panics
    /// When it is taken.
    #[must_use]
    pub fn start_on(address: &str) -> Self {
        let listening = Listening::new();
        let state = Arc::new(State::default());
        let url = listening.on(address, |_| router(Arc::clone(&state)));
        let azure = Self { url, state, _listening: listening };
        azure.with_usual();
        azure
    }

    fn with_usual(&self) {
        let mut world = self.world();
        world.clients.entry(CLIENT.to_owned()).or_default().secrets.push(SECRET.to_owned());
        world.groups.insert(GROUP.to_owned());
        world.administrators.insert(CLIENT.to_owned());
        world.takes = 1;
        world.may = vec![(vec!["*".to_owned()], Vec::new())];
        for (id, name) in [
            ("8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "Owner"),
            ("b24988ac-6180-42a0-ab88-20f7382dd24c", "Contributor"),
            ("acdd72a7-3385-48ef-bd42-f606fba81ae7", "Reader"),
        ] {
            world.roles.insert(id.to_owned(), name.to_owned());
        }
        world.metastores = vec![
            json!({"metastore_id": METASTORE, "name": "main", "region": "westeurope"}),
            json!({"metastore_id": "0bb0bb00-0000-4000-8000-00000000b0b0", "name": "other", "region": "northeurope"}),
        ];
        drop(world);
        for user in ["jane.roe@example.com", "john.doe@example.com"] {
            self.add_user(user);
        }
        for group in ["dev", "Analysts"] {
            self.add_group(group);
        }
        self.add_service_principal("terrace", CLIENT);
    }

    /// Where it is: `http://127.0.0.1:4711`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.state.world()
    }

    fn add(&self, kinds: (&'static str, &'static str), name: &str, more: (&str, &str), of_account: (&str, &str)) {
        let mut world = self.world();
        let (object, number) = (world.uuid(), world.number().to_string());
        let mut entry = json!({"id": object, "displayName": name});
        entry[more.0] = json!(more.1);
        world.directory.entry(kinds.0).or_default().push(entry);
        let mut entry = json!({"id": number, "displayName": name});
        entry[of_account.0] = json!(of_account.1);
        world.account.entry(kinds.1).or_default().push(entry);
    }

    /// Makes a user, in the tenant and in the account.
    pub fn add_user(&self, name: &str) {
        self.add(("users", "Users"), name, ("userPrincipalName", name), ("userName", name));
    }

    /// Makes a group; there may be several of one name.
    pub fn add_group(&self, name: &str) {
        self.add(("groups", "Groups"), name, ("securityEnabled", "true"), ("displayName", name));
    }

    /// Makes a service principal.
    pub fn add_service_principal(&self, name: &str, application: &str) {
        let kinds = ("servicePrincipals", "ServicePrincipals");
        self.add(kinds, name, ("appId", application), ("applicationId", application));
    }

    /// Lets terrace's service principal prove itself by a certificate: PEM with certificate and key of RSA.
    ///
    /// # Panics
    /// When they are none.
    pub fn trust_certificate(&self, pem: &[u8]) {
        let certificate = CertificateDer::from_pem_slice(pem).expect("a certificate");
        let key = match PrivateKeyDer::from_pem_slice(pem).expect("a key") {
            PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            _ => panic!("a key of RSA"),
        };
        let key = key.expect("a key of RSA");
        let public = key.public().as_ref().to_vec();
        // Some call it by the one, some by the other.
        let old = digest(&SHA1_FOR_LEGACY_USE_ONLY, &certificate);
        for thumbprint in [Sha256::digest(&certificate).as_slice(), old.as_ref()] {
            let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(thumbprint);
            self.world().clients.entry(CLIENT.to_owned()).or_default().keys.insert(thumbprint, public.clone());
        }
    }

    /// Lets terrace's service principal prove itself by a token of somebody else.
    pub fn trust_token(&self, token: &str) {
        self.world().clients.entry(CLIENT.to_owned()).or_default().federated.push(token.to_owned());
    }

    /// Takes all tokens away that were given out.
    pub fn expire_tokens(&self) {
        self.world().tokens.clear();
    }

    /// Which stand-in the next new workspace is; a new one where nothing says it. It has no metastore until it is given one.
    pub fn serve(&self, stand_in: Arc<StandIn>) {
        self.state.prepare(&stand_in);
        self.world().spare.push_back(stand_in);
    }

    /// The stand-in of a workspace that is there.
    #[must_use]
    pub fn workspace(&self, name: &str) -> Option<Arc<StandIn>> {
        let world = self.world();
        world.workspaces.values().find(|it| it.resource["name"] == name).and_then(|it| it.served.clone())
    }

    /// How many questions it takes until a workspace is made, changed or gone.
    pub fn take_questions(&self, count: usize) {
        self.world().takes = count;
    }

    /// Whatever takes long is done with the next question.
    pub fn finish(&self) {
        let mut world = self.world();
        world.takes = 1;
        world.workspaces.values_mut().for_each(|it| it.left = 0);
    }

    /// The next workspace is not made, and why.
    pub fn fail_next(&self, code: &str, message: &str) {
        self.world().fails = Some((code.to_owned(), message.to_owned()));
    }

    /// So many questions for a workspace are answered as if there was none.
    pub fn hide_workspaces(&self, questions: usize) {
        self.world().ways.unseen = questions;
    }

    /// Lists of the subscription have no workspaces any more.
    pub fn forget_lists(&self) {
        self.world().ways.lists_are_old = true;
    }

    /// The operation that makes the next workspace ends so many questions before that is there.
    pub fn end_early(&self, questions: usize) {
        self.world().ways.ends_early = questions;
    }

    /// Somebody cancels the next workspace while it is made.
    pub fn cancel_next(&self) {
        self.world().ways.cancels = true;
    }

    /// So many calls about who may enter a workspace are refused although it has a metastore.
    pub fn federate_after(&self, calls: usize) {
        self.world().ways.federates_after = calls;
    }

    /// To give the same role by the same id once more is a conflict.
    pub fn refuse_repeats(&self) {
        self.world().ways.repeats_conflict = true;
    }

    /// Where pages go on instead of here.
    pub fn lead_astray(&self, base: &str) {
        self.world().ways.astray = Some(base.to_owned());
    }

    /// What terrace may do in the resource group: actions such as `Microsoft.Databricks/*`.
    pub fn allow(&self, actions: &[&str]) {
        self.world().may = vec![(actions.iter().map(|it| (*it).to_owned()).collect(), Vec::new())];
    }

    /// Takes a resource group away with all that is in it.
    pub fn remove_group(&self, name: &str) {
        let mut world = self.world();
        let part = format!("/resourcegroups/{}/", name.to_lowercase());
        world.groups.remove(&name.to_lowercase());
        world.workspaces.retain(|id, _| !id.contains(&part));
        world.assignments.retain(|(at, _), _| !at.contains(&part));
    }

    /// Takes a role away that nobody has any more.
    pub fn remove_role(&self, name: &str) {
        self.world().roles.retain(|_, it| it != name);
    }

    /// New workspaces get that metastore by themselves, as those of accounts with one for their region do.
    pub fn assign_by_itself(&self, metastore: &str) {
        self.world().assigns = Some(metastore.to_owned());
    }

    /// Does something behind everybody's back, as an administrator of all.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn call(&self, method: &str, path: &str, body: serde_json::Value) -> serde_json::Value {
        self.try_call(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// The same, where it may fail.
    ///
    /// # Errors
    /// The code and the message.
    pub fn try_call(&self, method: &str, path: &str, body: serde_json::Value) -> Result<serde_json::Value, String> {
        crate::http::within(&self.state, method, path, body)
    }

    /// The object id of somebody in the tenant by display name.
    ///
    /// # Panics
    /// When there is nobody.
    #[must_use]
    pub fn object_id(&self, name: &str) -> String {
        let world = self.world();
        let found = world.directory.values().flatten().find(|it| it["displayName"] == name);
        found.and_then(|it| it["id"].as_str()).expect("somebody of that name").to_owned()
    }

    /// The number of somebody in the account by display name.
    ///
    /// # Panics
    /// When there is nobody.
    #[must_use]
    pub fn account_id(&self, name: &str) -> String {
        let world = self.world();
        let found = world.account.values().flatten().find(|it| it["displayName"] == name);
        found.and_then(|it| it["id"].as_str()).expect("somebody of that name").to_owned()
    }

    /// How many tokens were given out for the management of Azure, Microsoft Graph and Databricks that are still good.
    #[must_use]
    pub fn tokens(&self) -> [usize; 3] {
        let world = self.world();
        [Audience::Management, Audience::Graph, Audience::Databricks]
            .map(|audience| world.tokens.values().filter(|(_, of)| *of == audience).count())
    }

    /// What goes wrong from now on.
    pub fn faults(&self) -> MutexGuard<'_, Faults> {
        self.state.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What came since the last time.
    #[must_use]
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.state.seen())
    }

    /// What came since the last time and could change anything, without requests for tokens.
    #[must_use]
    pub fn take_writes(&self) -> Vec<String> {
        let seen = self.take_seen().into_iter().filter(Seen::is_write).filter(|it| !it.path.contains("/oauth2/"));
        seen.map(|it| format!("{} {}", it.method, it.path)).collect()
    }

    /// Starts counting anew.
    pub fn reset_count(&self) {
        self.state.reset();
    }

    /// How many calls came since then.
    #[must_use]
    pub fn count(&self) -> usize {
        self.state.counted()
    }

    /// The most calls that were answered at once.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        self.state.most_at_once()
    }

    /// One line for everything that is there: workspaces, roles, metastores of workspaces, who may enter them.
    #[must_use]
    pub fn inventory(&self) -> Vec<String> {
        self.world().inventory()
    }
}
