//! The gateway's configuration, in a real nginx before small upstreams that answer by hand.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use xtask::ports;
use xtask::process::Process;
use xtask::scratch::Scratch;
use xtask::servers::nginx::Gateway;

const WAIT_MAX: Duration = Duration::from_secs(10);

/// An upstream that counts its requests, hands each to `answer` and hangs up.
fn answering(answer: impl Fn(TcpStream, String) + Send + 'static) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let head = read_head(&mut BufReader::new(&stream));
            counter.fetch_add(1, Ordering::SeqCst);
            answer(stream, head);
        }
    });
    (port, asked)
}

/// Answers every request with its name, the method and the path.
fn upstream(name: &'static str) -> (u16, Arc<AtomicUsize>) {
    answering(move |mut stream, head| {
        let body = format!("{name} {}", head.lines().next().unwrap());
        let length = body.len();
        // The gateway may have gone meanwhile; then nobody waits for the answer.
        let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    })
}

fn hanging_up() -> (u16, Arc<AtomicUsize>) {
    answering(|_, _| ())
}

/// An upstream that answers each line of a chunked body as it comes.
fn echoing_lines() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        assert!(read_head(&mut reader).to_lowercase().contains("transfer-encoding: chunked"));
        write!(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n").unwrap();
        loop {
            let chunk = read_chunk(&mut reader);
            write!(stream, "{:x}\r\n{chunk}\r\n", chunk.len()).unwrap();
            if chunk.is_empty() {
                return;
            }
        }
    });
    port
}

fn read_head(reader: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
    head
}

fn read_chunk(reader: &mut impl BufRead) -> String {
    let mut size = String::new();
    reader.read_line(&mut size).unwrap();
    let mut chunk = vec![0; usize::from_str_radix(size.trim(), 16).unwrap() + 2];
    reader.read_exact(&mut chunk).unwrap();
    String::from_utf8(chunk).unwrap().trim_end().to_owned()
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
    stream
}

/// The whole answer to a request line and headers.
fn ask(port: u16, request: &str) -> String {
    let mut stream = connect(port);
    write!(stream, "{request}\r\nHost: catalog\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

struct Running {
    gateway: Gateway,
    nginx: Process,
    _scratch: Scratch,
}

impl Running {
    fn start(read: &[u16], write: &[u16]) -> Self {
        let scratch = Scratch::new("gateway").unwrap();
        let dir = scratch.path().join("with space");
        let gateway = Gateway { dir, port: ports::free(1)[0], read: read.into(), write: write.into() };
        let nginx = Process::start(gateway.launch("gateway").unwrap()).unwrap();
        Self { gateway, nginx, _scratch: scratch }
    }

    fn ask(&self, request: &str) -> String {
        ask(self.gateway.port, request)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.nginx.kill9();
    }
}

#[test]
fn reads_and_writes_go_their_ways() {
    let running = Running::start(&[upstream("read").0], &[upstream("write").0]);

    for (request, to) in [
        ("GET /products/1?fields=price%2Cstock HTTP/1.1", "read"),
        ("GET /docs HTTP/1.1", "read"),
        ("GET /products/1/history HTTP/1.1", "write"),
        ("GET /bulks/01890a5d-ac96-774b-bcce-b302099a8057/history?limit=5 HTTP/1.1", "write"),
        ("GET /keys?limit=2 HTTP/1.1", "write"),
        ("POST /keys HTTP/1.1", "write"),
        ("DELETE /keys/0123456789ab HTTP/1.1", "write"),
        ("POST /products HTTP/1.1", "write"),
        ("PATCH /products/1 HTTP/1.1", "write"),
        ("DELETE /products/1 HTTP/1.1", "write"),
        ("PUT /openapi.json HTTP/1.1", "write"),
    ] {
        let answer = running.ask(request);
        assert!(answer.ends_with(&format!("\r\n{to} {request}")), "{request}: {answer}");
    }
}

#[test]
fn the_longest_link_of_a_page_passes() {
    let link = "x".repeat(24_000);
    let (node, _) = answering(move |mut stream, _| {
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nlink: {link}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    });
    let answer = Running::start(&[node], &[upstream("write").0]).ask("GET /products HTTP/1.1");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.len() > 24_000);
}

#[test]
fn what_a_path_takes_is_told_for_both_services_together() {
    let running = Running::start(&[upstream("read").0], &[upstream("write").0]);

    for (request, status, methods) in [
        ("OPTIONS /products HTTP/1.1", "204", "GET, HEAD, OPTIONS, POST, PATCH"),
        ("OPTIONS /products/search?q=x HTTP/1.1", "204", "GET, HEAD, OPTIONS"),
        ("PUT /products/1?x=1 HTTP/1.1", "405", "GET, HEAD, OPTIONS, PATCH, DELETE"),
        ("PATCH /products/search HTTP/1.1", "405", "GET, HEAD, OPTIONS"),
        ("OPTIONS /keys HTTP/1.1", "204", "GET, HEAD, OPTIONS, POST"),
        ("GET /keys/0123456789ab HTTP/1.1", "405", "DELETE, OPTIONS"),
        ("TRACE /products HTTP/1.1", "405", "GET, HEAD, OPTIONS, POST, PATCH"),
        ("OPTIONS /products/1/history HTTP/1.1", "204", "GET, HEAD, OPTIONS"),
        ("PATCH /bulks/1/history?limit=5 HTTP/1.1", "405", "GET, HEAD, OPTIONS"),
    ] {
        let answer = running.ask(request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
        assert!(answer.contains(&format!("\r\nAllow: {methods}\r\n")), "{request}: {answer}");
    }
}

#[test]
fn a_read_survives_a_dead_node_and_a_write_is_never_repeated() {
    let (broken, asked) = hanging_up();
    let (good, _) = upstream("good");
    let dead = ports::free(1)[0];
    let running = Running::start(&[dead, broken, good], &[broken, broken]);

    for _ in 0..20 {
        assert!(running.ask("GET /products/1 HTTP/1.1").starts_with("HTTP/1.1 200"));
    }
    for request in ["POST /products", "PATCH /products/1", "DELETE /products/1"] {
        let before = asked.load(Ordering::SeqCst);
        let answer = running.ask(&format!("{request} HTTP/1.1"));
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(asked.load(Ordering::SeqCst) <= before + 1, "{request} was repeated");
    }
}

#[test]
fn the_gateways_own_errors_are_problems() {
    let nobody = ports::free(1);
    let running = Running::start(&nobody, &nobody);

    for (request, status) in [
        ("GET /products/1 HTTP/1.1\r\nX-Request-Id: mine", 503),
        ("PATCH /products/1 HTTP/1.1", 503),
        ("GET /-/staying/read HTTP/1.1", 404),
        ("TRACE /products HTTP/1.1", 405),
        ("GET no-path HTTP/1.1", 400),
        ("nonsense", 400),
        ("GET /products/<1> HTTP/1.1", 400),
        (&format!("GET /{} HTTP/1.1", "a".repeat(9000)), 414),
        (&format!("GET / HTTP/1.1\r\nX-Long: {}", "a".repeat(9000)), 431),
        ("POST /products HTTP/1.1\r\nTransfer-Encoding: odd", 501),
    ] {
        let answer = running.ask(request);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{request:.40}: {answer}");
        assert!(head.contains("Content-Type: application/problem+json"), "{answer}");
        assert_eq!(head.contains("Retry-After: 1"), status == 503, "{answer}");
        assert!(!head.contains("nginx/"), "{answer}");
        let problem: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["status"], status);
        assert!(["type", "title", "detail", "request_id"].iter().all(|field| problem[field].is_string()), "{body}");
    }
    assert!(running.ask("GET / HTTP/1.1\r\nX-Request-Id: mine").contains("\"request_id\":\"mine\""));
    assert!(!running.ask("GET / HTTP/1.1\r\nX-Request-Id: \"quoted\"").contains("quoted"));
}

#[test]
fn answer_lines_arrive_while_the_body_is_still_being_sent() {
    for method in ["POST", "PATCH"] {
        let running = Running::start(&ports::free(1), &[echoing_lines()]);
        let mut stream = connect(running.gateway.port);
        write!(stream, "{method} /products HTTP/1.1\r\nHost: catalog\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());

        for line in ["first", "second", "third"] {
            write!(stream, "{:x}\r\n{line}\r\n", line.len()).unwrap();
            if line == "first" {
                assert!(read_head(&mut reader).starts_with("HTTP/1.1 200"));
            }
            assert_eq!(read_chunk(&mut reader), line);
        }
        write!(stream, "0\r\n\r\n").unwrap();

        assert_eq!(read_chunk(&mut reader), "");
    }
}

/// Asks on one connection again and again, and on a new one only after an answer that says so.
fn ask_until(port: u16, is_over: &AtomicBool) {
    while !is_over.load(Ordering::SeqCst) {
        let mut stream = connect(port);
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut is_kept = true;
        while is_kept && !is_over.load(Ordering::SeqCst) {
            write!(stream, "GET /products/1 HTTP/1.1\r\nHost: catalog\r\n\r\n").unwrap();
            let head = read_head(&mut reader);
            assert!(head.starts_with("HTTP/1.1 200"), "{head:?}");
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            is_kept = head.contains("Connection: keep-alive");
        }
    }
}

#[test]
fn a_reload_costs_no_client_an_error() {
    let nodes: Vec<_> = (0..4).map(|_| upstream("node")).collect();
    let mut running = Running::start(&[nodes[0].0], &[nodes[0].0]);
    let port = running.gateway.port;
    let is_over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..32)
        .map(|_| {
            let is_over = Arc::clone(&is_over);
            thread::spawn(move || ask_until(port, &is_over))
        })
        .collect();

    for (node, asked) in &nodes[1..] {
        let last = running.gateway.clone();
        running.gateway.read.push(*node);
        running.gateway.reload(&last, &mut running.nginx).unwrap();
        let deadline = Instant::now() + WAIT_MAX;
        while asked.load(Ordering::SeqCst) < 100 {
            assert!(Instant::now() < deadline, "the new node is not asked");
            thread::yield_now();
        }
    }
    is_over.store(true, Ordering::SeqCst);

    for client in clients {
        client.join().unwrap();
    }
}

#[test]
fn a_configuration_that_nginx_refuses_changes_nothing() {
    let (node, _) = upstream("node");
    let mut running = Running::start(&[node], &[node]);

    let next = Gateway { write: Vec::new(), ..running.gateway.clone() };
    let error = next.reload(&running.gateway, &mut running.nginx).unwrap_err();

    assert!(error.to_string().contains("no servers are inside upstream"), "{error}");
    assert!(running.ask("POST /products HTTP/1.1").starts_with("HTTP/1.1 200"));
}
