//! Callers with a token of an application at GitHub.
//!
//! Such a token is opaque, and each application that its owner permits has one. The server asks GitHub whether the token belongs
//! to its own application: otherwise any other application could call the server as its users. `api` makes the calls, `member`
//! compares names.

mod api;
mod member;

use super::limits::{Grant, Principal};
use super::sign_in::{SignInOffer, SignInToken};
use super::verdicts::{Verdict, Verdicts};
use crate::answer::Refusal;
use crate::jwt::LEEWAY;
use crate::outage_log::LogThrottle;
use api::{CheckedToken, Fault, GitHubApi, TIMEOUT};
use member::Account;
pub use member::Member;
use secrecy::SecretString;
use std::sync::Arc;
use std::time::Duration;

/// How long GitHub need not have accepted the application until a check calls it.
const CHECK_EVERY: Duration = Duration::from_secs(3600);
/// How often the log names an outage.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// The longest token, in characters.
const LONGEST_TOKEN: usize = 1_024;

/// An application at GitHub, and the roles of its users.
#[derive(Debug, Clone)]
pub struct GitHub {
    /// The address of the site, without a final slash.
    pub url: String,
    /// The id of the application.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
    /// The grants of people, organisations and teams.
    pub roles: Vec<(Member, Grant)>,
    /// How long an answer about a token is used: a revoked token works for that long.
    pub cache: Duration,
}

impl GitHub {
    /// The usual site.
    pub const URL: &str = "https://github.com";
    /// The usual use of an answer.
    pub const CACHE: Duration = Duration::from_secs(300);

    /// Checks that GitHub answers, and knows the application and its secret.
    ///
    /// # Errors
    /// When it does not, with the reason.
    pub async fn check(&self) -> Result<(), String> {
        GitHubCallers::new(self.clone())?.check().await
    }

    /// The device grant of GitHub:
    /// <https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps#device-flow>
    #[must_use]
    pub fn sign_in_offer(&self) -> SignInOffer {
        let url = &self.url;
        SignInOffer {
            issuer: url.clone(),
            client_id: self.client_id.clone(),
            public_client_secret: None,
            // <https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps>
            scopes: if self.needs_organisations() { vec!["read:org".to_owned()] } else { Vec::new() },
            token: SignInToken::Access,
            device_authorization_url: Some(format!("{url}/login/device/code")),
            token_url: Some(format!("{url}/login/oauth/access_token")),
        }
    }

    fn needs_organisations(&self) -> bool {
        self.roles.iter().any(|(member, _)| member.organisation().is_some())
    }

    fn needs_teams(&self) -> bool {
        self.roles.iter().any(|(member, _)| matches!(member, Member::Team { .. }))
    }

    /// The organisation of an account: the first one of the roles to which it belongs.
    fn organisation_of(&self, account: &Account) -> Option<String> {
        let mut named = self.roles.iter().filter_map(|(member, _)| member.organisation());
        named.find(|organisation| account.is_in(organisation)).map(str::to_owned)
    }

    /// The principal of an account.
    fn principal(&self, account: &Account) -> Principal {
        let grants = self.roles.iter().filter(|(member, _)| member.includes(account));
        let grants = grants.map(|(_, grant)| grant.clone()).collect();
        let principal = Principal::new(account.login.clone(), grants).issued_by(&self.url);
        principal.of_organisation(self.organisation_of(account))
    }
}

/// The callers of an application, with recent answers about their tokens.
pub(crate) struct GitHubCallers {
    github: GitHub,
    offer: SignInOffer,
    api: GitHubApi,
    verdicts: Verdicts,
    outages: LogThrottle,
}

impl GitHubCallers {
    /// Makes no call: the first caller does that.
    ///
    /// # Errors
    /// When the address is invalid, or TLS is not available.
    pub(super) fn new(github: GitHub) -> Result<Self, String> {
        Ok(Self {
            offer: github.sign_in_offer(),
            api: GitHubApi::new(&github.url, &github.client_id, &github.client_secret, TIMEOUT)?,
            verdicts: Verdicts::new(github.cache),
            outages: LogThrottle::new(LOG_EVERY),
            github,
        })
    }

    /// Checks that GitHub accepted the application within the last hour, or accepts it now.
    ///
    /// # Errors
    /// When it does not, with the reason.
    pub(super) async fn check(&self) -> Result<(), String> {
        match self.api.since_accepted() {
            Some(time) if time < CHECK_EVERY => Ok(()),
            _ => self.api.check_client().await,
        }
    }

    /// The principal of a token, with the grants of its owner.
    ///
    /// # Errors
    /// When the token does not belong to the application, or GitHub does not answer.
    pub(super) async fn admit(&self, token: &str) -> Result<Arc<Principal>, Refusal> {
        if token.is_empty()
            || token.len() > LONGEST_TOKEN
            || !token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return Err(Refusal::Unknown("the token does not have the form of a token of GitHub".into()));
        }
        match self.verdicts.of(token, self.verdict(token)).await {
            Verdict::Admitted(principal) => Ok(principal),
            Verdict::Refused(why) => Err(Refusal::Unknown(why.into())),
            Verdict::Unavailable(_) => {
                Err(Refusal::Unavailable("the server cannot check tokens of GitHub now: try again later".to_owned()))
            }
        }
    }

    /// How people sign in.
    pub(super) fn sign_in_offer(&self) -> &SignInOffer {
        &self.offer
    }

    /// True if the limits of a role hide any object.
    pub(super) fn hides(&self) -> bool {
        self.github.roles.iter().any(|(_, grant)| grant.hides())
    }

    /// The verdict of GitHub about a token.
    async fn verdict(&self, token: &str) -> Verdict {
        match self.ask(token).await {
            Ok(principal) => Verdict::Admitted(Arc::new(principal)),
            Err(Fault::Token(why)) => Verdict::Refused(why),
            Err(Fault::Unavailable(error, pause)) => {
                if let Some(count) = self.outages.count() {
                    tracing::error!(error, count, site = self.github.url, "tokens of GitHub cannot be checked");
                }
                Verdict::Unavailable(pause)
            }
        }
    }

    async fn ask(&self, token: &str) -> Result<Principal, Fault> {
        let within = self.api.within();
        let CheckedToken { login, expires } = self.api.token(token, &within).await?;
        let account = match self.github.needs_organisations() {
            true => self.api.account(login, &token.into(), self.github.needs_teams(), &within).await?,
            false => Account { login, ..Account::default() },
        };
        let end = expires.and_then(|end| end.checked_add(LEEWAY).ok());
        Ok(self.github.principal(&account).until(end))
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::Action;
    use super::super::scope::Scope;
    use super::*;

    fn github(roles: &[(&str, Scope)]) -> GitHub {
        let roles = roles.iter().map(|(name, scope)| (Member::parse(name).unwrap(), Grant::from(*scope))).collect();
        let (url, cache) = (GitHub::URL.to_owned(), GitHub::CACHE);
        GitHub { url, client_id: "app".to_owned(), client_secret: "secret".into(), roles, cache }
    }

    #[test]
    fn sign_in_requests_organisations_only_for_roles_that_need_them() {
        let scopes = |name: &str| github(&[(name, Scope::Read)]).sign_in_offer().scopes;
        assert!(scopes("@ada").is_empty());
        assert_eq!([scopes("acme"), scopes("acme/data")], [["read:org".to_owned()], ["read:org".to_owned()]]);
        let offer = github(&[]).sign_in_offer();
        assert_eq!(offer.device_authorization_url.as_deref(), Some("https://github.com/login/device/code"));
        assert_eq!(offer.token_url.as_deref(), Some("https://github.com/login/oauth/access_token"));
        assert_eq!(offer.public_client_secret, None, "all callers see the offer");
    }

    #[test]
    fn account_has_the_grants_of_all_its_roles_and_the_first_organisation() {
        let github = github(&[
            ("other", Scope::Admin),
            ("@eve", Scope::Admin),
            ("acme", Scope::Read),
            ("lab/data", Scope::Apply),
        ]);
        let mut account = Account {
            login: "Ada".to_owned(),
            organisations: vec!["Lab".to_owned(), "Acme".to_owned()],
            teams: Vec::new(),
        };
        let principal = github.principal(&account);
        assert_eq!((principal.name.as_deref(), principal.scope()), (Some("Ada"), Some(Scope::Read)));
        assert_eq!(principal.organisation.as_deref(), Some("acme"), "as the roles write it");
        assert_eq!(principal.provider.as_deref(), Some("https://github.com"));
        account.teams = vec![("lab".to_owned(), "data".to_owned())];
        assert_eq!(github.principal(&account).scope(), Some(Scope::Apply));
        let stranger = github.principal(&Account { login: "ada2".to_owned(), ..Account::default() });
        assert!(stranger.organisation.is_none() && !stranger.may(Action::Read, false, &[]));
    }
}
