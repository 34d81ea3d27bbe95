//! The library by hand: `embedded up|load|down|leftovers|list NAME [NODES] [LAYOUT…]`. `RESOLV_CONF` may name
//! another file of name servers than the host's, `STATE_ROOT` another folder for the clusters' files.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example speaks on the terminal")]

use std::{env, path::PathBuf, process::ExitCode};

use bootstrap_embedded::{ClusterConfig, Error, Roots, down, leftovers, list, load_images, up};

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let mut words = words.iter().map(String::as_str);
    let (verb, name) = (words.next().unwrap_or("list"), words.next().unwrap_or("kfe2e"));
    match perform(verb, name, words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

fn perform<'a>(verb: &str, name: &str, mut rest: impl Iterator<Item = &'a str>) -> Result<(), Error> {
    let state = env::var_os("STATE_ROOT").map_or_else(|| Roots::default().state, PathBuf::from);
    let roots = Roots { state, ..Roots::default() };
    match verb {
        "up" => {
            let nodes = rest.next().unwrap_or("1");
            let config = match nodes {
                "0" => ClusterConfig::control_plane(name),
                "0+" => ClusterConfig { controller_manager: true, ..ClusterConfig::control_plane(name) },
                _ => ClusterConfig { images: rest.map(PathBuf::from).collect(), ..ClusterConfig::new(name) },
            };
            let resolv_conf =
                env::var_os("RESOLV_CONF").map_or_else(|| config.resolv_conf.clone(), PathBuf::from);
            let config = ClusterConfig { resolv_conf, roots, ..config };
            println!("{:#?}", up(&config, &mut |progress| println!("{progress:?}"))?);
        }
        "down" => println!("{:?}", down(&roots, name)?),
        "load" => println!(
            "{:?}",
            load_images(&roots, name, &rest.map(PathBuf::from).collect::<Vec<_>>(), &mut |_| {})?
        ),
        "leftovers" => println!("{:#?}", leftovers(&roots, name)?),
        _ => println!("{:#?}", list(&roots)?),
    }
    Ok(())
}
