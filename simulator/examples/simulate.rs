//! Runs a simulator: `cargo run -p comfyport-simulator --example simulate -- 127.0.0.1:8288 [--previews] [--step-delay=50]`.

use std::time::Duration;

use comfyport_simulator::{Options, Simulator};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut options = Options::default();
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--previews" => options.previews = true,
            _ => match argument.strip_prefix("--step-delay=") {
                Some(milliseconds) => options.step_delay = Duration::from_millis(milliseconds.parse()?),
                None => options.listen = argument.parse()?,
            },
        }
    }
    let simulator = Simulator::start(options).await?;
    #[expect(clippy::print_stdout, reason = "the address is what the example is run for")]
    {
        println!("{}", simulator.url());
    }
    tokio::signal::ctrl_c().await?;
    simulator.stop().await;
    Ok(())
}
