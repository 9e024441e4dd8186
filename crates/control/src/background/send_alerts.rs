//! Alerts go to the webhook, one after the other, signed, until they are taken.
//!
//! The signature is that of Standard Webhooks (HMAC-SHA256 over id, time and body), so that ready-made libraries check it.
//! Deliveries may repeat: the id stays the same. A receiver that does not answer gets the alert again with growing pauses, for
//! [`AGE_MAX_US`] at most; after that it is in the log and in the metrics only. Redirects are not followed: they would carry a
//! signed body to somebody who was not configured.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret as _;

use crate::app::App;
use crate::clock::SECOND_US;
use crate::db;
use crate::db::alert::AlertRow;
use crate::error::Error;

/// How long one delivery may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest time between two looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// The pause after the first delivery that failed; it doubles.
const RETRY_DELAY_US: i64 = 5 * SECOND_US;
/// The longest pause.
const RETRY_DELAY_MAX_US: i64 = 3600 * SECOND_US;
/// How long an alert is tried.
const AGE_MAX_US: i64 = 3 * 86_400 * SECOND_US;

/// Sends until the service stops.
pub(super) async fn keep_sending(app: &App) {
    let Some(url) = app.config.alerts.webhook_url.clone() else { return };
    let client = reqwest::Client::builder()
        .timeout(SEND_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build();
    let client = match client {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(error = %error.without_url(), "no alerts can be sent");
            return;
        }
    };
    loop {
        if let Err(error) = send_due(app, &client, &url).await {
            tracing::error!(error = error.chain(), "alerts cannot be sent");
        }
        tokio::select! {
            () = app.stopping.cancelled() => return,
            () = app.duties.alerts.notified() => {}
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
    }
}

async fn send_due(app: &App, client: &reqwest::Client, url: &url::Url) -> Result<(), Error> {
    while !app.stopping.is_cancelled() {
        let now_us = app.clock.now_us();
        // Should this process die in the delivery, another one takes it up then.
        let until_us = now_us.saturating_add(4 * RETRY_DELAY_US);
        let mut tx = app.db.begin().await?;
        let claimed = db::alert::claim(&mut tx, now_us, until_us).await?;
        tx.commit().await?;
        let Some(alert) = claimed else { return Ok(()) };
        let sent = send(app, client, url, &alert).await;
        let mut tx = app.db.begin().await?;
        match sent {
            Ok(()) => {
                metrics::counter!("coffer_alerts_sent_total").increment(1);
                db::alert::delete(&mut tx, &alert.id).await?;
            }
            Err(reason) if now_us.saturating_sub(alert.raised_us) > AGE_MAX_US => {
                metrics::counter!("coffer_alerts_dropped_total").increment(1);
                tracing::error!(
                    code = "AlertDropped",
                    alert = alert.id,
                    reason,
                    "an alert was never taken"
                );
                db::alert::delete(&mut tx, &alert.id).await?;
            }
            Err(reason) => {
                let doubled =
                    RETRY_DELAY_US.saturating_mul(1 << alert.attempts.saturating_sub(1).min(20));
                let delay_us = doubled.min(RETRY_DELAY_MAX_US);
                tracing::warn!(
                    code = "AlertNotTaken",
                    alert = alert.id,
                    attempts = alert.attempts,
                    reason,
                    "the webhook has not taken an alert; it is sent again"
                );
                let due_us = app.clock.now_us().saturating_add(delay_us);
                db::alert::put_off(&mut tx, &alert.id, due_us).await?;
            }
        }
        tx.commit().await?;
    }
    Ok(())
}

async fn send(
    app: &App,
    client: &reqwest::Client,
    url: &url::Url,
    alert: &AlertRow,
) -> Result<(), String> {
    let Some(secret) = &app.config.alerts.webhook_secret else {
        return Err("no secret is configured".to_owned());
    };
    let seconds = app.clock.now_seconds();
    let signature = signature(secret.expose_secret(), &alert.id, seconds, &alert.body);
    let sent = client
        .post(url.clone())
        .header("content-type", "application/json")
        .header("webhook-id", &alert.id)
        .header("webhook-timestamp", seconds.to_string())
        .header("webhook-signature", signature)
        .body(alert.body.clone())
        .send();
    // The URL may hold a token, and is in the configuration.
    let answer = sent.await.map_err(|error| error.without_url().to_string())?;
    let status = answer.status();
    if status.is_success() { Ok(()) } else { Err(format!("the answer was {}", status.as_u16())) }
}

/// `v1,` and the base64 of HMAC-SHA256 over `id.seconds.body`. A secret of the form `whsec_…` is base64 of the key, as Standard
/// Webhooks write it; any other is the key itself.
fn signature(secret: &str, id: &str, seconds: i64, body: &str) -> String {
    let decoded = secret.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
    let key = decoded.unwrap_or_else(|| secret.as_bytes().to_vec());
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let tag = hmac::sign(&key, format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_published_example() {
        // The example of the Standard Webhooks libraries.
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let body = r#"{"test": 2432232314}"#;
        assert_eq!(
            signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }
}
