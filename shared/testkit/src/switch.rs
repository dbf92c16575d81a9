//! One address whose server can be changed, as a failover moves the address of the primary.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// Forwards every connection to one loopback port; ends with them when dropped.
#[derive(Debug)]
pub struct Switch {
    port: u16,
    state: Arc<Mutex<State>>,
    accepting: AbortHandle,
}

#[derive(Debug)]
struct State {
    target: u16,
    connections: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    /// The port that the server sees its client at.
    client_port: u16,
    forwarding: AbortHandle,
}

impl Switch {
    /// Listens on a free port for what is meant for `target`, which need not listen yet.
    ///
    /// # Panics
    /// There is no free port.
    pub async fn to(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let state = Arc::new(Mutex::new(State { target, connections: Vec::new() }));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state))).abort_handle();
        Self { port, state, accepting }
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Sends new connections to `target` and cuts those that there are, except those whose server sees its client at one
    /// of `kept`: they stay with the old server, as a session does whose peer is alive on the wrong side of a failover.
    pub fn move_to(&self, target: u16, kept: &[u16]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.target = target;
        state.connections.retain(|connection| {
            let is_kept = kept.contains(&connection.client_port);
            if !is_kept {
                connection.forwarding.abort();
            }
            is_kept
        });
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.accepting.abort();
        self.move_to(0, &[]);
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let target = state.lock().unwrap_or_else(PoisonError::into_inner).target;
        // Dropping the client's end tells it that nobody is there.
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else { continue };
        let Ok(client_port) = server.local_addr().map(|address| address.port()) else { continue };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        // Moved while the connection was being made: the client tries again and gets to the new server.
        if state.target == target {
            let forwarding = tokio::spawn(forward(client, server)).abort_handle();
            state.connections.retain(|connection| !connection.forwarding.is_finished());
            state.connections.push(Connection { client_port, forwarding });
        }
    }
}

async fn forward(mut client: TcpStream, mut server: TcpStream) {
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    // An error means that one end is gone; both are closed then.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}
