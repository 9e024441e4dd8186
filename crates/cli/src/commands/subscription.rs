//! `coffer subscription`: subscriptions, changed in the metadata itself.

use clap::{Args, Subcommand};
use coffer_control::admin::SubscriptionInfo;
use serde::Serialize;

use super::principal::open;
use crate::{
    args::{Installation, Output},
    exit::Failure,
    printer,
};

/// Manage subscriptions.
#[derive(Debug, Args)]
pub(crate) struct Subscription {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a subscription. The bootstrap principal owns it.
    Create {
        #[command(flatten)]
        installation: Installation,
        /// Its name, for people
        #[arg(long)]
        name: String,
        /// Its id, a GUID [default: a new one]
        #[arg(long)]
        id: Option<String>,
    },
    /// List all subscriptions.
    List {
        #[command(flatten)]
        installation: Installation,
    },
}

/// A subscription, as programs read it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    subscription_id: String,
    display_name: String,
}

impl From<SubscriptionInfo> for Shown {
    fn from(info: SubscriptionInfo) -> Self {
        Self { subscription_id: info.id, display_name: info.display_name }
    }
}

impl Subscription {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.verb {
            Verb::Create { installation, name, id } => {
                let admin = open(&installation).await?;
                let made = admin.subscription_create(&name, id.as_deref()).await;
                admin.close().await;
                let made = Shown::from(made.map_err(Failure::request)?);
                match installation.output {
                    Output::Json => printer::json(&made)?,
                    Output::Text => printer::result(&made.subscription_id),
                }
                Ok(())
            }
            Verb::List { installation } => {
                let admin = open(&installation).await?;
                let found = admin.subscription_list().await;
                admin.close().await;
                let shown: Vec<Shown> =
                    found.map_err(Failure::request)?.into_iter().map(Shown::from).collect();
                if installation.output == Output::Json {
                    return printer::json(&shown);
                }
                let rows: Vec<Vec<String>> = shown
                    .into_iter()
                    .map(|one| vec![one.subscription_id, one.display_name])
                    .collect();
                printer::table(&["SUBSCRIPTION", "NAME"], &rows);
                Ok(())
            }
        }
    }
}
