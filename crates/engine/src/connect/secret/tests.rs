use secrecy::ExposeSecret as _;

use super::*;

fn parsed(value: &str) -> (String, u16, String, String, Option<String>, SslMode) {
    let o = parse(value).unwrap();
    let password = o.password.map(|p| p.expose_secret().to_owned());
    (o.host, o.port, o.database, o.user, password, o.ssl_mode)
}

fn expected(
    password: &str,
    mode: SslMode,
) -> (String, u16, String, String, Option<String>, SslMode) {
    ("db.example".into(), 6432, "shop".into(), "backup".into(), Some(password.into()), mode)
}

#[test]
fn azures_documented_form() {
    let value = "Server=db.example;Database=shop;Port=6432;User Id=backup;Password=s3cr=t;Ssl Mode=Require;";
    assert_eq!(parsed(value), expected("s3cr=t", SslMode::Require));
    let value = r#"host=db.example; PORT = 6432 ;database=shop;username=backup;password="a;b ""c"" 'd'";SslMode=VerifyFull"#;
    assert_eq!(parsed(value), expected("a;b \"c\" 'd'", SslMode::VerifyFull));
    let value = "Data Source=tcp:db.example,6432;Initial Catalog=shop;Uid=backup;Pwd='it''s';Ssl Mode=VerifyCA;Trust Server Certificate=true;Pooling=false";
    assert_eq!(parsed(value), expected("it's", SslMode::Require));
}

#[test]
fn uri_form() {
    let value =
        "postgresql://backup:p%40ss%2Fw@db.example:6432/shop?sslmode=verify-ca&connect_timeout=3";
    assert_eq!(parsed(value), expected("p@ss/w", SslMode::VerifyCa));
    assert_eq!(
        parsed("postgres://backup:a@b@db.example:6432/shop?sslmode=disable"),
        expected("a@b", SslMode::Disable)
    );
    let v6 = parse("postgres://u@[::1]:5433/d").unwrap();
    assert_eq!((v6.host.as_str(), v6.port, v6.ssl_mode), ("::1", 5433, SslMode::VerifyFull));
    assert_eq!(parse("postgres://u@h").unwrap().database, "u");
}

#[test]
fn libpq_form() {
    let value = r"host=db.example port=6432 dbname=shop user=backup password='a \'b\' \\c;d' sslmode=prefer";
    assert_eq!(parsed(value), expected(r"a 'b' \c;d", SslMode::Prefer));
    assert_eq!(
        parsed("host = db.example port=6432 user=backup dbname=shop password=x;y sslmode=prefer"),
        expected("x;y", SslMode::Prefer)
    );
}

#[test]
fn host_may_come_from_the_registration() {
    let options =
        parse("User Id=backup;Password=x").unwrap().with_address("h", 1).with_database("d");
    assert_eq!((options.host.as_str(), options.port, options.database.as_str()), ("h", 1, "d"));
    assert_eq!(options.ssl_mode, SslMode::VerifyFull);
}

#[test]
fn errors_never_quote_the_value() {
    let secret = "hunter2";
    let bad = [
        format!("postgres://u:{secret}@h:99999/d"),
        format!("postgres://u:{secret}%ff@h/d"),
        format!("postgres://u:{secret}@h1,h2/d"),
        format!("postgres://u:{secret}@h/d?sslmode={secret}"),
        format!("postgres://{secret}/d"),
        format!("Server=h;Password=\"{secret};User Id=u"),
        format!("Server=h;{secret};User Id=u"),
        format!("Server=h;Port={secret};User Id=u"),
        format!("Server=h;User Id=u;Password='{secret}'x"),
        format!("Server=h;Password={secret}"),
        format!("host=h password='{secret}"),
        format!("host=h {secret} user=u"),
        format!("host=h user=u password={secret}\\"),
        format!("user=u sslmode={secret}"),
        format!("user=u password={secret}\0"),
        secret.to_owned(),
        secret.repeat(2000),
        " ".to_owned(),
    ];
    for value in bad {
        let error = parse(&value).expect_err("must be refused");
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(!text.contains(secret), "leaked in {text}");
        }
    }
}

#[test]
fn options_hide_the_password() {
    let options = parse("postgres://u:hunter2@h/d").unwrap();
    assert!(!format!("{options:?}").contains("hunter2"));
}

#[test]
fn no_value_makes_it_panic() {
    const PIECES: [&str; 24] = [
        "postgres://",
        "host",
        "user id",
        "password",
        "=",
        "'",
        "\"",
        ";",
        " ",
        "\\",
        "@",
        ":",
        "/",
        "?",
        "&",
        "%",
        "%zz",
        "[",
        "]",
        ",",
        "ü",
        "\u{1F600}",
        "\n",
        "1",
    ];
    for _ in 0..50_000 {
        let length = rand::random_range(0..10);
        let value: String =
            (0..length).map(|_| PIECES[rand::random_range(0..PIECES.len())]).collect();
        drop(parse(&value));
    }
}
