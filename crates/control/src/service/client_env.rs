//! `client.env`: how a client on this machine reaches the service, as shell variables.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use secrecy::ExposeSecret;

use crate::app::App;
use crate::error::Error;
use crate::identity::bootstrap::BootstrapPrincipal;

/// Writes the file, readable by its owner alone, by rename.
pub(super) fn write(
    app: &App,
    bootstrap: &BootstrapPrincipal,
    path: &Path,
    ca_file: &Path,
) -> Result<(), Error> {
    let ca_file = ca_file.display().to_string();
    let key_file = app.config.master_key_file.display().to_string();
    let variables: [(&str, &str); 13] = [
        ("COFFER_ENDPOINT", app.endpoint()),
        ("COFFER_CA_FILE", &ca_file),
        ("REQUESTS_CA_BUNDLE", &ca_file),
        ("SSL_CERT_FILE", &ca_file),
        ("NODE_EXTRA_CA_CERTS", &ca_file),
        ("AZURE_AUTHORITY_HOST", app.endpoint()),
        ("AZURE_TENANT_ID", &app.identity.tenant_id),
        ("AZURE_CLIENT_ID", &bootstrap.application_id),
        ("AZURE_CLIENT_SECRET", bootstrap.secret.expose_secret()),
        ("AZURE_SUBSCRIPTION_ID", &app.identity.default_subscription_id),
        ("COFFER_PRINCIPAL_ID", &bootstrap.principal_id),
        ("COFFER_STORAGE_URL", &app.config.storage_default.url),
        ("COFFER_KEY_FILE", &key_file),
    ];
    let mut text = zeroize::Zeroizing::new(String::new());
    for (name, value) in variables {
        if value.contains(['\n', '\r']) {
            return Err(Error::start_failed(
                format!("{name} cannot be written to client.env: its value has a line break."),
                "a path with a line break",
            ));
        }
        text.push_str(name);
        text.push('=');
        text.push_str(value);
        text.push('\n');
    }
    replace(path, &text, 0o600).map_err(|source| {
        Error::start_failed(format!("The file {} cannot be written.", path.display()), source)
    })
}

/// Replaces a file as a whole: a reader sees the old text or the new one, also after a crash.
pub(super) fn replace(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("file");
    let temporary = directory.join(format!(".{name}.new"));
    // What an interrupted start left may have another mode.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    let mut file = options.open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(directory)?.sync_all()
}
