//! The matrix of authorization: every route of the service's table, without a token, with one for somebody else, and by
//! somebody who may do everything but one action that it needs. What is there and what is not there look the same to who may not.
//!
//! The actions are found out by asking: a role that has none of them is refused with the first one, a role with that one is refused with
//! the second one, until there is nothing more to ask for. So the matrix cannot differ from the code.
//!
//! That the table is complete is held by the service itself, which in a debug build refuses to answer by a route that
//! is not in it. Consents of resource guards are in `dataprotection::critical_operations`.

mod asked;

use coffer_control::http::{Access, ROUTES, RouteRow};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Harness, User};
use asked::{Asked, Names};

/// Most actions that one request needs.
const ACTIONS_MAX: usize = 5;

/// A service with one of everything, and those who ask.
struct Matrix {
    h: Harness,
    present: Names,
    /// Has a token and no role.
    nobody: User,
    /// Has the role `prober_role` in the subscription, which allows what was found out so far.
    prober: User,
    prober_role: String,
    /// Has the role `short_role` in the subscription, which allows everything but one action.
    short: User,
    short_role: String,
    checks: usize,
    pairs: usize,
}

impl Matrix {
    async fn start() -> Self {
        let (h, present) = asked::scene().await;
        let mut made = Vec::new();
        for name in ["prober", "short"] {
            let user = h.user(name).await;
            let role = uuid::Uuid::new_v4().to_string();
            put_role(&h, &role, name, &json!({"actions": []})).await;
            h.assign(&user.principal_id, &role, &h.subscription_path()).await;
            made.push((user, role));
        }
        let nobody = h.user("nobody").await;
        let [(prober, prober_role), (short, short_role)] = <[_; 2]>::try_from(made).unwrap();
        Self { h, present, nobody, prober, prober_role, short, short_role, checks: 0, pairs: 0 }
    }

    async fn ask(&self, user: &User, asked: &Asked) -> Answer {
        self.h.call_as(user, asked.method.clone(), &asked.path, asked.body.clone()).await
    }

    /// 401 without a token, and with one that is meant for somebody else.
    async fn unauthenticated(&mut self, asked: &Asked) {
        let url = self.h.url(&asked.path);
        let request = self.h.client().request(asked.method.clone(), &url);
        let answer = self.h.send(request).await;
        assert_eq!(answer.status, 401, "{} {}", asked.method, asked.path);
        assert!(answer.header("www-authenticate").starts_with("Bearer "));
        let authority = self.h.service().app().identity.vault_authority.clone();
        let is_secret = asked.path.to_lowercase().contains("secrets");
        // Tokens of both audiences are good for the default key vault; on a host of its own it is one.
        let (url, token) = if is_secret && !asked.path.contains("/providers/") {
            let path = url.strip_prefix(&self.h.endpoint).unwrap();
            (format!("https://myvault.{authority}{path}"), self.h.owner.token.clone())
        } else {
            let scope = format!("https://{authority}/.default");
            (url, self.h.token(&self.h.owner, &scope).await)
        };
        let request = self.h.client().request(asked.method.clone(), &url).bearer_auth(token);
        let answer = self.h.send(request).await;
        assert_eq!(answer.status, 401, "{} {}", asked.method, asked.path);
        self.checks += 2;
    }

    /// Refused for one action, in the same words whether anything is there or not, and whatever its body is.
    async fn refused(&mut self, user: &User, row: &RouteRow, wanted: Option<&str>) -> String {
        let absent = Names::absent(&self.present);
        let mut seen = Vec::new();
        for names in [&self.present, &absent] {
            let asked = Asked::new(row, names, &self.present);
            let answer = self.ask(user, &asked).await;
            assert_eq!(answer.status, 403, "{} {}: {:#}", asked.method, asked.path, answer.body);
            // A head has no body to tell anything.
            let action = match asked.method {
                Method::HEAD => wanted.unwrap_or(asked::GROUP_READ).to_owned(),
                _ => {
                    let action = refused_action(&answer);
                    assert!(action.is_some(), "{:#}", answer.body);
                    action.unwrap()
                }
            };
            let code = answer.code().to_owned();
            let message = answer.body["error"]["message"].as_str().unwrap_or_default();
            // What a body names is there in either case.
            let message = self.present.hidden(&names.hidden(message));
            seen.push((action, code, message));
            self.checks += 1;
            // Of a body that is wrong, only who may do the first of what is needed hears.
            if wanted.is_none() && asked.body.is_some() {
                let malformed = Asked { body: Some(json!(["malformed"])), ..asked };
                let told = self.ask(user, &malformed).await;
                assert_eq!(told.body, answer.body, "{} {}", malformed.method, malformed.path);
                self.checks += 1;
            }
        }
        assert_eq!(seen[0], seen[1], "{} {}", row.method, row.template());
        let action = seen.swap_remove(0).0;
        if let Some(wanted) = wanted {
            assert_eq!(action, wanted, "{} {}", row.method, row.template());
        }
        action
    }

    /// All actions that the request needs, in the order in which they are asked for.
    async fn actions(&mut self, row: &RouteRow, first: String) -> Vec<String> {
        let mut needed = vec![first];
        loop {
            let permission = json!({"actions": needed, "dataActions": needed});
            put_role(&self.h, &self.prober_role, "prober", &permission).await;
            let names = Names::absent(&self.present);
            let asked = Asked::new(row, &names, &self.present);
            let answer = self.ask(&self.prober, &asked).await;
            let Some(more) = refused_action(&answer) else {
                assert_ne!(answer.status, 401, "{} {}", asked.method, asked.path);
                assert_ne!(answer.status.as_u16() / 100, 5, "{:#}", answer.body);
                return needed;
            };
            assert!(!needed.contains(&more), "{} {}: {:#}", asked.method, asked.path, answer.body);
            needed.push(more);
            assert!(needed.len() <= ACTIONS_MAX, "{needed:?}");
        }
    }

    async fn one_short(&mut self, row: &RouteRow, action: &str) {
        let permission = json!({
            "actions": ["*"], "notActions": [action], "dataActions": ["*"], "notDataActions": [action],
        });
        put_role(&self.h, &self.short_role, "short", &permission).await;
        let short = self.short.clone();
        self.refused(&short, row, Some(action)).await;
        self.pairs += 1;
    }
}

/// Makes a role allow this.
async fn put_role(h: &Harness, id: &str, name: &str, permission: &Value) {
    let path = format!(
        "{}/providers/Microsoft.Authorization/roleDefinitions/{id}?api-version=2022-04-01",
        h.subscription_path()
    );
    let body = json!({"properties": {
        "roleName": name, "type": "CustomRole", "permissions": [permission],
        "assignableScopes": [h.subscription_path()],
    }});
    h.call(Method::PUT, &path, Some(body)).await.expect(201);
}

/// The action for whose lack a request was refused.
fn refused_action(answer: &Answer) -> Option<String> {
    if answer.status != 403 {
        return None;
    }
    let message = answer.body["error"]["message"].as_str()?;
    let rest = match answer.code() {
        "AuthorizationFailed" => message.split("perform action '").nth(1)?,
        "Forbidden" => message.split("Action: '").nth(1)?,
        _ => return None,
    };
    rest.split('\'').next().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_by_everybody_who_may_not() {
    let mut matrix = Matrix::start().await;
    let (mut anybody, mut links, mut token, mut reach, mut actions) = (0, 0, 0, 0, 0);
    for row in ROUTES {
        let asked = Asked::new(row, &matrix.present, &matrix.present);
        if row.access == Access::Anybody {
            let request =
                matrix.h.client().request(asked.method.clone(), matrix.h.url(&asked.path));
            let answer = matrix.h.send(request).await;
            // Whoever asks for a token without a form is told so.
            let expected = if row.method == "POST" { 400 } else { 200 };
            assert_eq!(answer.status, expected, "{} {}", row.method, row.template());
            anybody += 1;
            matrix.checks += 1;
            continue;
        }
        if row.access == Access::Link {
            // A token does not help, nor does its lack hurt: what counts is the signature.
            let url = matrix.h.url(&asked.path);
            for signature in ["", "&se=99999999999&sig=x"] {
                let url = format!("{url}{signature}");
                let request = matrix.h.client().request(asked.method.clone(), &url);
                matrix.h.send(request).await.expect_error(403, "AuthenticationFailed");
                let request = matrix.h.client().request(asked.method.clone(), &url);
                let request = request.bearer_auth(&matrix.h.owner.token);
                matrix.h.send(request).await.expect_error(403, "AuthenticationFailed");
                matrix.checks += 2;
            }
            links += 1;
            continue;
        }
        matrix.unauthenticated(&asked).await;
        let absent = Names::absent(&matrix.present);
        matrix.unauthenticated(&Asked::new(row, &absent, &matrix.present)).await;
        let nobody = matrix.nobody.clone();
        match row.access {
            Access::Anybody | Access::Link => {}
            Access::Token => {
                let answer = matrix.ask(&nobody, &asked).await;
                assert!(answer.status == 200 || answer.status == 404, "{:#}", answer.body);
                let text = answer.body.to_string();
                assert!(!text.contains(&matrix.h.subscription), "{text}");
                token += 1;
                matrix.checks += 1;
            }
            Access::Reach => {
                matrix.refused(&nobody, row, None).await;
                reach += 1;
            }
            Access::Actions => {
                let first = matrix.refused(&nobody, row, None).await;
                // What holds at the root is given there only: nothing in the subscription helps.
                let is_root = row.template().starts_with("/providers/");
                let needed = if is_root { vec![first] } else { matrix.actions(row, first).await };
                for action in &needed {
                    matrix.one_short(row, action).await;
                }
                actions += 1;
            }
        }
    }
    println!(
        "{} routes: {anybody} for anybody, {links} by a link, {token} with a token, {reach} with any role, {actions} with actions; {} pairs of a \
         route and an action; {} checks",
        ROUTES.len(),
        matrix.pairs,
        matrix.checks
    );
    assert!(matrix.pairs >= actions);
    matrix.h.stop().await;
}

#[test]
fn no_route_is_there_twice() {
    let mut seen: Vec<_> = ROUTES.iter().map(|row| (row.method, row.template())).collect();
    seen.sort();
    let count = seen.len();
    seen.dedup();
    assert_eq!(seen.len(), count);
}
