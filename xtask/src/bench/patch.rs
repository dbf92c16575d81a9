//! The rows of the write path: patches against `pgbench` doing the same row work.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use xtask::ports;
use xtask::process::{Process, Stop};
use xtask::servers::{Postgres, Probe, postgres};

use super::aside::Aside;
use super::row::{Bar, Line, Row, Side, Unit};
use super::wrk::{self, Wrk};
use super::{Bench, miss, run_in, tool};
use xtask::demo;

/// The products that are patched, chosen evenly.
const PRODUCTS: u32 = 10_000;
/// Clients that wait for each answer before they send the next patch.
const CONNECTIONS: [u32; 4] = [1, 16, 64, 256];
const CONNECTIONS_OF_BAR: u32 = 64;
const RATIO_MIN: f64 = 2.0;

/// A transaction for each patch, with the statements that it cannot do without: the row, its event, its history. Half of them
/// change a price, half a stock.
const TRANSACTION: &str = "\
\\set id random(1, @PRODUCTS@)
\\set value random(1, 1000000)
begin;
update products set @COLUMN@ = :value, version = version + 1, updated_at = clock_timestamp() where id = :id
    returning id, sku, name, description, brand, category, image_url, price, currency, stock, version, created_at, \
updated_at, array_to_string(tsvector_to_array(search), ' ');
insert into outbox (event_id, product_id, kind, data, created_at, actor)
    values (gen_random_uuid(), :id, 'updated', '@DATA@', clock_timestamp(), 'bench');
insert into product_history (product_id, version, changed_at, actor, price_from, currency_from, stock_from, price_to, \
currency_to, stock_to)
    values (:id, :value, clock_timestamp(), 'bench', 1, 'USD', 1, :value, 'USD', :value);
end;
";

pub(super) const PATCH: Row = Row {
    name: "patch",
    title: "patches against pgbench doing the same row work",
    meaning: "`wrk` (1 thread) sends patches of 10,000 products, chosen evenly, every second one a price and the others a \
              stock, over 1, 16, 64 and 256 connections, each of which waits for its answer; every answer is durable \
              (`synchronous_commit = on`). Beside it: `pgbench -M prepared` (1 thread, as many connections) with one \
              transaction a patch that updates the same columns of the same products, returns the row, and inserts the \
              outbox row and the history row, under the same indexes and triggers, in the same database. Both leave what \
              they write in the outbox: the primary has no relay and no replica here, so that the rest of the stack, which \
              would work for both alike, takes no part.",
    products: 1,
    packages: &[wrk::PACKAGE],
    measure,
};

fn measure(bench: &mut Bench) -> Result<Vec<Line>> {
    let shop = Shop::start(bench)?;
    let wrk = Wrk::of_patches(bench.folder(), &shop.key)?;
    let scripts = [shop.transaction(bench.folder(), "price")?, shop.transaction(bench.folder(), "stock")?];
    let mut lines = Vec::new();
    for connections in CONNECTIONS {
        bench.say(&format!("  {connections} connections"));
        let (ours, other) = bench.alternate(
            |time| Ok(wrk.patch(shop.write.port, PRODUCTS, connections, time)?.per_second()),
            |time| shop.pgbench(&scripts, connections, time),
            |ours, other| format!("{ours:.0}/s beside {other:.0}"),
        )?;
        lines.push(Line {
            what: format!("PATCH over {connections} connections"),
            unit: Unit::ChangesPerSecond,
            ours: Side::new("write service", ours),
            other: Side::new("pgbench, a transaction each", other),
            bar: (connections == CONNECTIONS_OF_BAR).then_some(Bar::RatioAtLeast(RATIO_MIN)),
        });
    }
    Ok(lines)
}

/// A primary with products, and a write service whose relay finds no stream.
struct Shop {
    write: Aside,
    /// That the write service lets in.
    key: String,
    database: Postgres,
}

impl Shop {
    fn start(bench: &mut Bench) -> Result<Self> {
        let port = ports::free(4);
        let database = Postgres::start_durable(&bench.folder().join("primary-patched"), port[0])?;
        let program = bench.bin_dir.join("freshet-write");
        tool::output(Command::new(&program).arg("migrate").env("FRESHET_DATABASE_URL", database.url()))?;
        let mut launch = bench.stack.process("write-1")?.launch.clone();
        launch.env.extend([
            ("FRESHET_DATABASE_URL".to_owned(), database.url()),
            // Nobody listens there.
            ("FRESHET_NATS_URL".to_owned(), format!("nats://127.0.0.1:{}", port[3])),
            ("FRESHET_LISTEN".to_owned(), format!("127.0.0.1:{}", port[1])),
            ("FRESHET_OPS_LISTEN".to_owned(), format!("127.0.0.1:{}", port[2])),
        ]);
        "write-patched".clone_into(&mut launch.name);
        launch.log = bench.folder().join("write-patched.log");
        launch.ready = Probe::Ready { port: port[2] };
        launch.stop = Stop::Term;
        let write = Aside { process: Process::start(launch)?, port: port[1], ops_port: port[2] };
        let mut keys = Command::new(&program);
        keys.args(["keys", "create", "--name", "bench", "--scope", "products:write,products:bulk"]);
        let key = tool::output(keys.env("FRESHET_DATABASE_URL", database.url()))?.trim().to_owned();
        let file = bench.folder().join("patched.ndjson");
        demo::write(PRODUCTS, std::io::BufWriter::new(fs::File::create(&file)?))?;
        let mut import = Command::new(bench.bin_dir.join("freshet"));
        tool::output(
            import.args(["import", "--quiet", "--url", &write.url()]).arg(&file).env("FRESHET_API_KEY", &key),
        )?;
        run_in(port[0], &[])?;
        Ok(Self { write, key, database })
    }

    /// What pgbench runs to change this column.
    fn transaction(&self, folder: &Path, column: &str) -> Result<PathBuf> {
        // As long as the event of an average product.
        let data =
            postgres::query(self.database.port(), "select data from outbox order by length(data) offset 5000 limit 1")?;
        let script = TRANSACTION
            .replace("@PRODUCTS@", &PRODUCTS.to_string())
            .replace("@COLUMN@", column)
            // A colon would begin one of pgbench's variables.
            .replace("@DATA@", &data.replace(':', ";").replace('\'', "''"));
        let file = folder.join(format!("{column}.sql"));
        fs::write(&file, script)?;
        Ok(file)
    }

    fn pgbench(&self, scripts: &[PathBuf], connections: u32, time: Duration) -> Result<f64> {
        let mut pgbench = Command::new(postgres::program("pgbench")?);
        pgbench.args(["--no-vacuum", "--protocol", "prepared", "--jobs", "1", "--client", &connections.to_string()]);
        pgbench.args(["--time", &time.as_secs().to_string()]);
        for script in scripts {
            pgbench.arg("--file").arg(script);
        }
        miss::transactions_per_second(&tool::output(pgbench.arg(self.database.url()))?)
    }
}
