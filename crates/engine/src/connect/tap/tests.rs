use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::*;
use crate::connect::slabs::SLABS_WAITING;

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind], &length.to_be_bytes()[..], body].concat()
}

/// The server begins a COPY.
fn response() -> Vec<u8> {
    message(COPY_OUT_RESPONSE, &[0, 0, 0])
}

/// What the driver and the reader of a COPY get of these bytes, which come in pieces.
async fn through(pieces: &[&[u8]], unframed: usize, is_on: bool) -> (Vec<u8>, Option<Vec<u8>>) {
    let (mut server, client) = tokio::io::duplex(64);
    let switch = Arc::new(Switch::default());
    let mut tap = Tap::new(client, Arc::clone(&switch), unframed);
    let slabs = is_on.then(|| switch.turn_on().unwrap());
    let send = async {
        for piece in pieces {
            server.write_all(piece).await.unwrap();
        }
        drop(server);
    };
    let drive = async {
        let mut seen = Vec::new();
        tap.read_to_end(&mut seen).await.unwrap();
        drop(tap);
        switch.turn_off();
        seen
    };
    let read = async {
        let mut slabs = slabs?;
        let mut text = Vec::new();
        while let Some(slab) = slabs.recv().await {
            text.extend(slab);
        }
        Some(text)
    };
    let ((), seen, text) = tokio::join!(send, drive, read);
    (seen, text)
}

#[tokio::test]
async fn text_goes_to_its_reader_and_all_else_to_the_driver() {
    let parts = [
        response(),
        message(COPY_DATA, b"1\ta\n"),
        message(b'N', b"a notice"),
        message(COPY_DATA, b"2\tb\n"),
        message(COPY_DONE, b""),
        message(COPY_DATA, b"of the next one\n"),
        message(b'Z', b"I"),
    ];
    let all = parts.concat();
    let expected = [&parts[0], &parts[2], &parts[4], &parts[5], &parts[6]];
    let expected = expected.map(Vec::as_slice).concat();
    let (seen, text) = through(&[&all], 0, true).await;
    assert_eq!((seen, text.unwrap()), (expected.clone(), b"1\ta\n2\tb\n".to_vec()));
    let single: Vec<&[u8]> = all.chunks(1).collect();
    assert_eq!(through(&single, 0, true).await.0, expected);
    assert_eq!(through(&[&all], 0, false).await, (all.clone(), None), "as if it were not there");
    let with_answer = [b"N", &all[..]].concat();
    let (seen, text) = through(&[&with_answer], 1, true).await;
    assert_eq!((&seen[1..], text.unwrap().len()), (&expected[..], 8));
}

#[tokio::test]
async fn an_error_ends_the_text() {
    let rest = [message(ERROR, b"x"), message(COPY_DATA, b"2\n")].concat();
    let all = [response(), message(COPY_DATA, b"1\n"), rest.clone()].concat();
    let (seen, text) = through(&[&all], 0, true).await;
    assert_eq!(text.unwrap(), b"1\n");
    assert_eq!(seen, [response(), rest].concat());
}

#[tokio::test]
async fn what_is_left_of_an_earlier_copy_is_not_of_this_one() {
    for end in [message(COPY_DONE, b""), message(ERROR, b"x")] {
        let left = [message(COPY_DATA, b"old\n"), end].concat();
        let new = [response(), message(COPY_DATA, b"new\n"), message(COPY_DONE, b"")].concat();
        let (seen, text) = through(&[&left, &new], 0, true).await;
        assert_eq!(text.unwrap(), b"new\n");
        assert_eq!(seen, [left, response(), message(COPY_DONE, b"")].concat());
    }
}

fn tap(bytes: usize) -> (DuplexStream, Tap<DuplexStream>, Arc<Switch>) {
    let (server, client) = tokio::io::duplex(bytes);
    let switch = Arc::new(Switch::default());
    (server, Tap::new(client, Arc::clone(&switch), 0), switch)
}

#[tokio::test]
async fn a_slow_reader_holds_the_server_back() {
    let (mut server, mut tap, switch) = tap(1024);
    let mut slabs = switch.turn_on().unwrap();
    let row = message(COPY_DATA, &[b'x'; 1000]);
    let begun = response();
    server.write_all(&begun).await.unwrap();
    tap.read_exact(&mut vec![0; begun.len()]).await.unwrap();
    let driving = tokio::spawn(async move { tap.read_u8().await });
    let mut sent = 0;
    // The first row is there at once, although it fills no slab.
    server.write_all(&row).await.unwrap();
    let mut got = slabs.recv().await.unwrap().len();
    while let Ok(written) =
        tokio::time::timeout(Duration::from_millis(200), server.write_all(&row)).await
    {
        written.unwrap();
        sent += 1000;
    }
    let held = 2 * SLABS_WAITING * (SLAB_BYTES + READ_BYTES) + 2 * READ_BYTES;
    assert!(sent <= held, "{sent} bytes were taken while nobody read");
    drop(server);
    while let Some(slab) = slabs.recv().await {
        got += slab.len();
    }
    // What was on its way when the connection broke is lost, and the driver says that it broke.
    assert!(got <= sent + 2000, "{got} bytes after {sent}");
    assert!(driving.await.unwrap().is_err());
}

#[tokio::test]
async fn a_reader_that_went_away_is_not_waited_for() {
    let (mut server, mut tap, switch) = tap(1 << 20);
    drop(switch.turn_on());
    let rows = message(COPY_DATA, &[b'x'; 1000]).repeat(1000);
    server.write_all(&[response(), rows, message(COPY_DONE, b"")].concat()).await.unwrap();
    let mut seen = vec![0; response().len() + HEAD_BYTES];
    tap.read_exact(&mut seen).await.unwrap();
    assert_eq!(seen, [response(), message(COPY_DONE, b"")].concat());
    assert!(switch.turn_on().is_none(), "the end was not seen by who asked");
    switch.turn_off();
    assert!(switch.turn_on().is_some());
}

proptest! {
    #[test]
    fn whatever_comes_nothing_panics_and_little_is_held(bytes in any::<Vec<u8>>(), is_on: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (seen, text) = runtime.block_on(through(&[&bytes], 0, is_on));
        let text = text.unwrap_or_default().len();
        prop_assert!(seen.len() + text <= bytes.len());
        prop_assert!(is_on || seen == bytes);
    }
}
