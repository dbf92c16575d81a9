//! Stands in for every program of a stack in tests of the stack itself: it listens where it is told and is always ready.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

fn main() {
    // `migrate` and `import` have nothing to do; a key that is made differs from every other.
    if let Some(command) = env::args().nth(1) {
        if command == "keys" {
            println!("freshet_key_of_process_{}", std::process::id());
        }
        return;
    }
    println!("standing in");
    let listeners: Vec<_> = ["FRESHET_LISTEN", "FRESHET_OPS_LISTEN"]
        .iter()
        .filter_map(|name| env::var(name).ok())
        .map(|address| thread::spawn(move || serve(&TcpListener::bind(address).expect("the address is free"))))
        .collect();
    for listener in listeners {
        listener.join().expect("a listener never ends");
    }
}

fn serve(listener: &TcpListener) {
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        let mut line = String::new();
        let mut reader = BufReader::new(&stream);
        while reader.read_line(&mut line).is_ok_and(|length| length > 2) {}
        // Who asked may have gone.
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
    }
}
