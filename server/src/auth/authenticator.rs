//! Authentication for services beside the server: the same tokens, and the same checks of the site without tokens.

use super::{Admission, Auth, Scope};
use crate::answer::Refusal;
use axum::extract::Request;
use axum::http::StatusCode;

/// Admits or refuses callers.
pub struct Authenticator {
    admission: Admission,
    setting: &'static str,
}

/// A call of an admitted caller.
pub struct Admitted {
    /// The call.
    pub request: Request,
    /// The name of the caller; `None` if the service requires no tokens.
    pub name: Option<String>,
}

/// A call of a refused caller.
pub struct RefusedCall {
    /// The status of its answer.
    pub status: StatusCode,
    /// The reason, for the caller.
    pub why: String,
    /// The name of the caller, if its token is known.
    pub name: Option<String>,
}

impl Authenticator {
    /// An authenticator with these settings. `setting` is the name of the setting that would require tokens; refusals
    /// mention it.
    ///
    /// # Errors
    /// When the HTTP client for the issuer's keys cannot be built, with the reason.
    pub fn new(auth: Auth, setting: &'static str) -> Result<Self, String> {
        Ok(Self { admission: Admission::new(auth)?, setting })
    }

    /// Checks the caller of a call, and returns the call.
    ///
    /// # Errors
    /// With the status of the answer and the reason for the caller.
    pub async fn admit(&self, request: Request, needed: Scope) -> Result<Admitted, RefusedCall> {
        let refused = |refusal: &Refusal, name: Option<String>| {
            let (status, why) = self.status_and_reason(refusal);
            RefusedCall { status, why, name }
        };
        self.admission.check_site(&request).map_err(|refusal| refused(&refusal, None))?;
        let (head, body) = request.into_parts();
        let principal = self.admission.admit(&head.headers).await.map_err(|refusal| refused(&refusal, None))?;
        let name = principal.name.clone();
        if !principal.has(needed) {
            let has = principal.scope();
            let refusal = Refusal::Forbidden { name: name.clone().unwrap_or_default(), has, needed };
            return Err(refused(&refusal, name));
        }
        Ok(Admitted { request: Request::from_parts(head, body), name })
    }

    fn status_and_reason(&self, refusal: &Refusal) -> (StatusCode, String) {
        let (status, why) = match refusal {
            Refusal::Unknown(_) => (StatusCode::UNAUTHORIZED, None),
            Refusal::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, None),
            Refusal::ForeignOrigin(evidence) => {
                (StatusCode::FORBIDDEN, Some(format!("{evidence}: set `{}`", self.setting)))
            }
            _ => (StatusCode::FORBIDDEN, None),
        };
        (status, why.or_else(|| refusal.problems().into_iter().next()).unwrap_or_default())
    }
}
