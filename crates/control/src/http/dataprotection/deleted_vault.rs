//! `locations/{location}/deletedVaults`.

use super::{Request, encode};
use crate::app::dataprotection::deleted_vault;
use crate::error::Error;
use crate::http::ArmResponse;

/// `location` is as the path has it.
pub(super) async fn list(request: Request<'_>, location: &str) -> Result<ArmResponse, Error> {
    let (page, scope) = (request.req.page(), request.scope.id()?);
    let vaults = deleted_vault::list(request.app, request.call(), &scope, location, &page).await?;
    encode::list_of(request, vaults, encode::deleted_vault)
}

/// `location` and `name` are as the path has them.
pub(super) async fn get(
    request: Request<'_>,
    location: &str,
    name: &str,
) -> Result<ArmResponse, Error> {
    let scope = request.scope.id()?;
    let vault = deleted_vault::get(request.app, request.call(), &scope, location, name).await?;
    Ok(ArmResponse::ok(encode::deleted_vault(&vault)?))
}
