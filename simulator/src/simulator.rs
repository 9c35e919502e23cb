//! Starting and stopping.

use std::{io, net::SocketAddr, sync::Arc};

use axum::serve::Listener;
use comfyport_workflow::catalog::NodeDef;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

use crate::{Faults, Ledger, ModelFiles, Options, routes, shared::Engine, worker};

/// A running simulator. Dropping it stops it.
#[derive(Debug)]
pub struct Simulator {
    engine: Arc<Engine>,
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
}

impl Simulator {
    /// Starts listening, and a thread that runs prompts.
    pub async fn start(options: Options) -> Result<Self, io::Error> {
        let listener = TcpListener::bind(options.listen).await?;
        let addr = listener.local_addr()?;
        let engine = Arc::new(Engine::new(options)?);
        let worker = Arc::clone(&engine);
        std::thread::Builder::new()
            .name("simulator-worker".to_owned())
            // Prompts are walked by recursion, as in ComfyUI, and may be long chains.
            .stack_size(64 << 20)
            .spawn(move || worker::work(&worker))?;
        let (stop, stopped) = oneshot::channel();
        let listener = Doorway { listener, engine: Arc::clone(&engine) };
        let app = routes::router(Arc::clone(&engine));
        let server = tokio::spawn(async move {
            let serve = axum::serve(listener, app);
            // Connections that are kept alive outlast this; the routes turn their next request away.
            tokio::select! {
                _ = serve => {}
                _ = stopped => {}
            }
        });
        Ok(Self { engine, addr, stop: Some(stop), server: Some(server) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:8188`
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The handle to make it misbehave.
    pub fn faults(&self) -> Faults {
        self.engine.faults.clone()
    }

    /// What it saw and did.
    pub fn ledger(&self) -> Ledger {
        self.engine.ledger.clone()
    }

    /// The handle to add what it lacks.
    pub fn installer(&self) -> Installer {
        Installer(Arc::clone(&self.engine))
    }

    /// Does what killing and restarting the process would: sockets close, queue and history are empty.
    pub fn restart(&self) {
        self.engine.restart();
    }

    /// Stops listening and running, without waiting for prompts.
    pub async fn stop(mut self) {
        self.end();
        if let Some(server) = self.server.take() {
            // It ends by being told to; a panic of it was reported where it happened.
            let _ = server.await;
        }
    }

    fn end(&mut self) {
        self.engine.stop();
        self.engine.hub.drop_all();
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.end();
    }
}

/// Adds to a simulator what an operator would install.
#[derive(Debug, Clone)]
pub struct Installer(Arc<Engine>);

impl Installer {
    /// Adds classes that it does not have yet, and model files.
    pub fn install(&self, classes: &[NodeDef], files: ModelFiles) {
        self.0.install(classes, files);
    }
}

/// A listener that turns connections away when it is told to.
struct Doorway {
    listener: TcpListener,
    engine: Arc<Engine>,
}

impl Listener for Doorway {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            // `Listener::accept` of `TcpListener` waits out errors such as too many open files.
            let (stream, addr) = Listener::accept(&mut self.listener).await;
            if self.engine.faults.refuses() {
                // Without lingering, what is closed is reset.
                let _ = stream.set_zero_linger();
                drop(stream);
                continue;
            }
            // Small frames must not wait for each other.
            let _ = stream.set_nodelay(true);
            return (stream, addr);
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
