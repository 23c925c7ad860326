//! The door of what a process serves beside the server: the same tokens, and the same care where nobody shows one.

use super::{Admission, Auth, Scope};
use crate::answer::Refusal;
use axum::extract::Request;
use axum::http::StatusCode;

/// Lets callers in, or tells why not.
pub struct Door {
    admission: Admission,
    setting: &'static str,
}

/// A call whose caller may make it.
pub struct Admitted {
    /// The call.
    pub request: Request,
    /// The name of the caller; nothing where callers show no token.
    pub name: Option<String>,
}

/// A call whose caller may not make it.
pub struct TurnedAway {
    /// The status of its answer.
    pub status: StatusCode,
    /// The reason, for the caller.
    pub why: String,
    /// The name of the caller, where its token is known.
    pub name: Option<String>,
}

impl Door {
    /// A door for these. `setting` is what would have it ask for tokens, for those whom it turns away without.
    ///
    /// # Errors
    /// When keys could not be fetched from anywhere, in words.
    pub fn new(auth: Auth, setting: &'static str) -> Result<Self, String> {
        Ok(Self { admission: Admission::new(auth)?, setting })
    }

    /// Gives a call back that is let in.
    ///
    /// # Errors
    /// With the status of its answer, and why, for the caller.
    pub async fn admit(&self, request: Request, asked: Scope) -> Result<Admitted, TurnedAway> {
        let turned_away = |refusal: &Refusal, name: Option<String>| {
            let (status, why) = self.told(refusal);
            TurnedAway { status, why, name }
        };
        self.admission.check_site(&request).map_err(|refusal| turned_away(&refusal, None))?;
        let (head, body) = request.into_parts();
        let principal = self.admission.admit(&head.headers).await.map_err(|refusal| turned_away(&refusal, None))?;
        let name = principal.name.clone();
        if !principal.has(asked) {
            let has = principal.scope();
            let refusal = Refusal::Forbidden { name: name.clone().unwrap_or_default(), has, asked };
            return Err(turned_away(&refusal, name));
        }
        Ok(Admitted { request: Request::from_parts(head, body), name })
    }

    fn told(&self, refusal: &Refusal) -> (StatusCode, String) {
        let (status, why) = match refusal {
            Refusal::Unknown(_) => (StatusCode::UNAUTHORIZED, None),
            Refusal::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, None),
            Refusal::Foreign(how) => (StatusCode::FORBIDDEN, Some(format!("{how}: set `{}`", self.setting))),
            _ => (StatusCode::FORBIDDEN, None),
        };
        (status, why.or_else(|| refusal.problems().into_iter().next()).unwrap_or_default())
    }
}
