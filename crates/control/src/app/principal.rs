//! Applications as the token endpoint sees them.

use super::App;
use crate::db::principal::{self, Principal, PrincipalKind};
use crate::error::Error;

impl App {
    /// The application of a client id, with the hashes that its secret is checked against.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn application_find(
        &self,
        client_id: &str,
    ) -> Result<Option<(Principal, Vec<String>)>, Error> {
        let found = principal::get_by_application(self.db.read(), client_id).await?;
        let Some(found) = found.filter(|principal| principal.kind == PrincipalKind::Application)
        else {
            return Ok(None);
        };
        let hashes = principal::secret_hashes(self.db.read(), &found.id).await?;
        Ok(Some((found, hashes)))
    }
}
