//! `terrace pipelines login` and `terrace pipelines logout`.

use super::client::{Server, TokenSource, required_address, server_of};
use crate::args::ServerArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::harmless_line;
use crate::sign_in::{Grant, Issuer, SignIn, SignInError, SignInFile, revoke};
use secrecy::SecretString;
use terrace_provider::http::{Auth, Request};
use terrace_server::auth::SignInOffer;

impl From<SignInError> for Failure {
    fn from(error: SignInError) -> Self {
        let message = harmless_line(&error.to_string());
        match error {
            SignInError::Refused(_) => Self::refused(message),
            SignInError::Expired => Self::refused(message).hint("run this again, and enter the new code in time"),
            SignInError::Invalid(_) => {
                Self::new(message).hint("the administrator of the server checks `server.auth.signIn`")
            }
            SignInError::Unavailable(_) => Self::new(message),
        }
    }
}

fn file(context: &Context<'_>) -> Result<SignInFile, Failure> {
    SignInFile::of_user(context.variables)
        .ok_or_else(|| Failure::new("the sign-in needs a folder").hint("set the variable HOME or XDG_CONFIG_HOME"))
}

/// Signs in: shows a code, waits until the user has entered it in a browser, and stores the tokens.
///
/// # Errors
/// When the server names no issuer, the sign-in is refused or expires, or the server does not accept the token.
pub(in crate::commands::pipelines) async fn login(
    context: &Context<'_>,
    arguments: &ServerArguments,
) -> Result<Exit, Failure> {
    let base = required_address(context, arguments)?;
    let file = file(context)?;
    // A damaged or open file is reported before the user goes to a browser.
    file.find(base.shown()).map_err(Failure::new)?;
    let offer = offer(&Server::new(base.clone(), Auth::None, TokenSource::None)?).await?;
    let issuer = Issuer::of(&offer).await?;
    let grant = Grant::start(&issuer, &offer).await?;
    let code = harmless_line(&grant.user_code);
    context.ui.print_message(&format!("open {} in a browser, and enter the code {code}", grant.verification_url));
    if let Some(url) = &grant.complete_url {
        context.ui.print_message(&format!("or open {url}"));
    }
    let tokens = grant.wait(&issuer, &offer).await?;
    let server = Server::new(base.clone(), Auth::Bearer(tokens.token.clone()), TokenSource::NewSignIn)?;
    check(&server).await?;
    let sign_in = SignIn {
        token_url: issuer.token_url,
        revocation_url: issuer.revocation_url,
        client_id: offer.client_id,
        client_secret: offer.public_client_secret.map(SecretString::from),
        kind: offer.token,
        token: tokens.token,
        refresh_token: tokens.refresh_token,
        expires_at: tokens.expires_at,
    };
    file.lock().and_then(|file| file.replace(base.shown(), Some(&sign_in))).map_err(Failure::new)?;
    let until = match (&sign_in.refresh_token, sign_in.expires_at) {
        (None, Some(end)) => format!(" until {end:.0}"),
        _ => String::new(),
    };
    context.ui.print(&format!("signed in to {}{until}\n", base.shown()))?;
    Ok(Exit::Done)
}

/// The issuer that the server names.
async fn offer(server: &Server) -> Result<SignInOffer, Failure> {
    match server.call(&Request::get("/api/v1/sign-in", &[])).await {
        Err(failure) if failure.message.as_deref() == Some("this server names no issuer to sign in with") => {
            Err(failure.hint("ask its administrator for a token, and set TERRACE_TOKEN"))
        }
        offer => offer,
    }
}

/// Checks that the server accepts the token.
async fn check(server: &Server) -> Result<(), Failure> {
    let request = Request::get("/api/v1/environments", &[]).query("limit", 1);
    server.send(&request).await.map(drop)
}

/// Checks that the server of the variable answers and accepts the token. Returns its address; `None` without the variable.
///
/// # Errors
/// When it does not, as a command would fail.
pub(in crate::commands) async fn check_server(context: &Context<'_>) -> Result<Option<String>, Failure> {
    let Some(server) = server_of(context, &ServerArguments::default())? else { return Ok(None) };
    check(&server).await?;
    Ok(Some(server.url().to_owned()))
}

/// Removes a sign-in, and revokes its tokens at the issuer if that is possible.
///
/// # Errors
/// When the file cannot be changed.
pub(in crate::commands::pipelines) async fn logout(
    context: &Context<'_>,
    arguments: &ServerArguments,
) -> Result<Exit, Failure> {
    let base = required_address(context, arguments)?;
    let removed = file(context)?.lock().and_then(|file| file.replace(base.shown(), None)).map_err(Failure::new)?;
    let Some(sign_in) = removed else {
        context.ui.print(&format!("not signed in to {}\n", base.shown()))?;
        return Ok(Exit::Done);
    };
    let problem = match revoke(&sign_in).await {
        Ok(true) => None,
        Ok(false) => Some("terrace cannot revoke tokens of this issuer".to_owned()),
        Err(error) => Some(harmless_line(&error.to_string())),
    };
    if let Some(problem) = problem {
        // Tokens of GitHub have no end.
        let end = if sign_in.expires_at.is_some() { "they expire" } else { "you revoke them at their issuer" };
        context.ui.print_message(&format!("warning: the tokens stay valid until {end}: {problem}"));
    }
    context.ui.print(&format!("signed out of {}\n", base.shown()))?;
    Ok(Exit::Done)
}
