//! A running stand-in, and its control by tests.

use crate::call::State;
use crate::http::router;
use crate::world::{Audience, CLIENT, GROUP, METASTORE, SECRET, World};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use ring::signature::RsaKeyPair;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::ops::Deref;
use std::sync::{Arc, MutexGuard};
use terrace_test_databricks::{ReceivedCall, StandIn, Traffic};
use terrace_test_listening::{ANY, Listening};

/// A stand-in, running until it is dropped. Its service principal may create workspaces in the resource group `data`
/// and is administrator of the account. The account has the metastores `main` and `other`; account and tenant have a
/// few users and groups.
#[derive(Debug)]
pub struct Azure {
    url: String,
    state: Arc<State>,
    // Serves until it is dropped.
    _listening: Listening,
}

impl Deref for Azure {
    type Target = Traffic;

    fn deref(&self) -> &Traffic {
        &self.state.traffic
    }
}

impl Azure {
    /// Starts a stand-in on a free port.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn start() -> Self {
        Self::start_on(ANY)
    }

    /// Starts a stand-in on an address.
    ///
    /// # Panics
    /// When the address is in use.
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
        world.polls_until_done = 1;
        world.allowed_actions = vec![(vec!["*".to_owned()], Vec::new())];
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

    /// Its URL: `http://127.0.0.1:4711`.
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

    /// Adds a user to the tenant and the account.
    pub fn add_user(&self, name: &str) {
        self.add(("users", "Users"), name, ("userPrincipalName", name), ("userName", name));
    }

    /// Adds a group; several may have one name.
    pub fn add_group(&self, name: &str) {
        self.add(("groups", "Groups"), name, ("securityEnabled", "true"), ("displayName", name));
    }

    /// Adds a service principal.
    pub fn add_service_principal(&self, name: &str, application: &str) {
        let kinds = ("servicePrincipals", "ServicePrincipals");
        self.add(kinds, name, ("appId", application), ("applicationId", application));
    }

    /// Trusts a certificate of terrace's service principal: PEM with an RSA key and its certificate.
    ///
    /// # Panics
    /// When the PEM is invalid.
    pub fn trust_certificate(&self, pem: &[u8]) {
        let certificate = CertificateDer::from_pem_slice(pem).expect("a certificate");
        let key = match PrivateKeyDer::from_pem_slice(pem).expect("a key") {
            PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            _ => panic!("a key of RSA"),
        };
        let key = key.expect("a key of RSA");
        let public = key.public().as_ref().to_vec();
        // Clients send one or the other thumbprint.
        let old = digest(&SHA1_FOR_LEGACY_USE_ONLY, &certificate);
        for thumbprint in [Sha256::digest(&certificate).as_slice(), old.as_ref()] {
            let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(thumbprint);
            self.world().clients.entry(CLIENT.to_owned()).or_default().keys.insert(thumbprint, public.clone());
        }
    }

    /// Trusts an external token for terrace's service principal.
    pub fn trust_token(&self, token: &str) {
        self.world().clients.entry(CLIENT.to_owned()).or_default().federated.push(token.to_owned());
    }

    /// Revokes all tokens.
    pub fn expire_tokens(&self) {
        self.world().tokens.clear();
    }

    /// Sets the stand-in of the next workspace; default a new one. It has no metastore until one is assigned.
    pub fn serve(&self, stand_in: Arc<StandIn>) {
        self.state.prepare(&stand_in);
        self.world().next_stand_ins.push_back(stand_in);
    }

    /// The stand-in of an existing workspace.
    #[must_use]
    pub fn workspace(&self, name: &str) -> Option<Arc<StandIn>> {
        let world = self.world();
        world.workspaces.values().find(|it| it.resource["name"] == name).and_then(|it| it.served.clone())
    }

    /// Sets the number of polls until a workspace is created, changed or deleted.
    pub fn take_questions(&self, count: usize) {
        self.world().polls_until_done = count;
    }

    /// Ends all running operations at the next poll.
    pub fn finish(&self) {
        let mut world = self.world();
        world.polls_until_done = 1;
        world.workspaces.values_mut().for_each(|it| it.left = 0);
    }

    /// Fails the creation of the next workspace with this code and message.
    pub fn fail_next(&self, code: &str, message: &str) {
        self.world().fails = Some((code.to_owned(), message.to_owned()));
    }

    /// Answers this many reads of a workspace with "not found".
    pub fn hide_workspaces(&self, questions: usize) {
        self.world().deviations.not_found_reads = questions;
    }

    /// Hides workspaces from lists of the subscription.
    pub fn forget_lists(&self) {
        self.world().deviations.has_stale_lists = true;
    }

    /// Ends the operation of the next creation this many polls before its workspace is ready.
    pub fn end_early(&self, questions: usize) {
        self.world().deviations.ends_early = questions;
    }

    /// Cancels the creation of the next workspace.
    pub fn cancel_next(&self) {
        self.world().deviations.cancels = true;
    }

    /// Refuses this many assignments to a workspace that has a metastore.
    pub fn federate_after(&self, calls: usize) {
        self.world().deviations.federates_after = calls;
    }

    /// Makes a repeated role assignment with the same id a conflict.
    pub fn refuse_repeats(&self) {
        self.world().deviations.repeats_conflict = true;
    }

    /// Sets another base URL for the links of pages.
    pub fn set_next_link_base(&self, base: &str) {
        self.world().deviations.next_link_base = Some(base.to_owned());
    }

    /// Sets terrace's permitted actions in the resource group, such as `Microsoft.Databricks/*`.
    pub fn allow(&self, actions: &[&str]) {
        self.world().allowed_actions = vec![(actions.iter().map(|it| (*it).to_owned()).collect(), Vec::new())];
    }

    /// Removes a resource group and its content.
    pub fn remove_group(&self, name: &str) {
        let mut world = self.world();
        let part = format!("/resourcegroups/{}/", name.to_lowercase());
        world.groups.remove(&name.to_lowercase());
        world.workspaces.retain(|id, _| !id.contains(&part));
        world.assignments.retain(|(at, _), _| !at.contains(&part));
    }

    /// Removes a role without assignments.
    pub fn remove_role(&self, name: &str) {
        self.world().roles.retain(|_, it| it != name);
    }

    /// Assigns a metastore to new workspaces, as accounts with one for their region do.
    pub fn assign_automatically(&self, metastore: &str) {
        self.world().default_metastore = Some(metastore.to_owned());
    }

    /// Makes a call outside terrace, as an administrator of everything.
    ///
    /// # Panics
    /// When the call fails.
    #[track_caller]
    pub fn call(&self, method: &str, path: &str, body: serde_json::Value) -> serde_json::Value {
        self.try_call(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// The same for a call that may fail.
    ///
    /// # Errors
    /// The code and the message.
    pub fn try_call(&self, method: &str, path: &str, body: serde_json::Value) -> Result<serde_json::Value, String> {
        crate::http::within(&self.state, method, path, body)
    }

    /// The object id of a principal in the tenant, by display name.
    ///
    /// # Panics
    /// When there is no such principal.
    #[must_use]
    pub fn object_id(&self, name: &str) -> String {
        let world = self.world();
        let found = world.directory.values().flatten().find(|it| it["displayName"] == name);
        found.and_then(|it| it["id"].as_str()).expect("a principal of that name").to_owned()
    }

    /// The number of a principal in the account, by display name.
    ///
    /// # Panics
    /// When there is no such principal.
    #[must_use]
    pub fn account_id(&self, name: &str) -> String {
        let world = self.world();
        let found = world.account.values().flatten().find(|it| it["displayName"] == name);
        found.and_then(|it| it["id"].as_str()).expect("a principal of that name").to_owned()
    }

    /// The numbers of valid tokens for Azure management, Microsoft Graph and Databricks.
    #[must_use]
    pub fn tokens(&self) -> [usize; 3] {
        let world = self.world();
        [Audience::Management, Audience::Graph, Audience::Databricks]
            .map(|audience| world.tokens.values().filter(|(_, of)| *of == audience).count())
    }

    /// Takes the calls, and returns those that could change anything, without token requests.
    #[must_use]
    pub fn take_writes(&self) -> Vec<String> {
        let received =
            self.take_calls().into_iter().filter(ReceivedCall::is_write).filter(|it| !it.path.contains("/oauth2/"));
        received.map(|it| format!("{} {}", it.method, it.path)).collect()
    }

    /// One line for each workspace, role assignment, metastore assignment and workspace assignment.
    #[must_use]
    pub fn inventory(&self) -> Vec<String> {
        self.world().inventory()
    }
}
