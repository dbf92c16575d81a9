//! The few commands that the rows give to Redis.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::net::{Ipv4Addr, TcpStream};

use anyhow::{Context, Result, bail, ensure};

use super::http::ANSWER_MAX;

/// Runs one command and returns its answer as text.
pub(super) fn ask(port: u16, command: &[&str]) -> Result<String> {
    let stream = connect(port)?;
    send(&mut &stream, command)?;
    receive(&mut BufReader::new(&stream))
}

/// Sets every key to its value, as plainly as Redis can, each with the same time to live.
pub(super) fn set_all(port: u16, entries: &[(String, String)], ttl_seconds: u32) -> Result<()> {
    /// Answers of so many are small beside the buffers of a connection, so that neither side waits for the other.
    const AT_ONCE: usize = 100;
    let stream = connect(port)?;
    let (mut writer, mut reader) = (BufWriter::new(&stream), BufReader::new(&stream));
    let ttl = ttl_seconds.to_string();
    for entries in entries.chunks(AT_ONCE) {
        for (key, value) in entries {
            send(&mut writer, &["SET", key, value, "EX", &ttl])?;
        }
        writer.flush()?;
        for _ in entries {
            receive(&mut reader)?;
        }
    }
    Ok(())
}

/// What it has allocated for all it holds.
pub(super) fn used_bytes(port: u16) -> Result<f64> {
    let info = ask(port, &["INFO", "memory"])?;
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).context("Redis tells no memory")?;
    Ok(used.trim().parse()?)
}

fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    Ok(stream)
}

fn send(to: &mut impl Write, command: &[&str]) -> Result<()> {
    write!(to, "*{}\r\n", command.len())?;
    for word in command {
        write!(to, "${}\r\n{word}\r\n", word.len())?;
    }
    Ok(())
}

fn receive(from: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    ensure!(from.read_line(&mut line)? > 0, "Redis hung up");
    let (kind, text) = line.trim_end().split_at_checked(1).context("Redis sent an empty line")?;
    match kind {
        "+" | ":" => Ok(text.to_owned()),
        "$" => {
            let mut bytes = vec![0; text.parse::<usize>()? + 2];
            from.read_exact(&mut bytes)?;
            bytes.truncate(bytes.len() - 2);
            Ok(String::from_utf8(bytes)?)
        }
        _ => bail!("Redis answers {line:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_answers_have_the_form_of_the_protocol() {
        let mut sent = Vec::new();
        send(&mut sent, &["SET", "a", "bc"]).expect("a vector takes it");
        assert_eq!(sent, b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2\r\nbc\r\n");
        let answer = |text: &str| receive(&mut text.as_bytes());
        assert_eq!(answer("+OK\r\n").expect("an answer"), "OK");
        assert_eq!(answer(":12\r\n").expect("an answer"), "12");
        assert_eq!(answer("$4\r\na\r\nb\r\n").expect("an answer"), "a\r\nb");
        assert!(answer("-ERR no\r\n").is_err());
        assert!(answer("").is_err());
    }
}
