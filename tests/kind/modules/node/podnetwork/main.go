// Command podnetwork connects the pods of a kind cluster's nodes, in the place of kindnetd, which is published as an
// image only. It runs on every node, from the DaemonSet that kind itself applies, and keeps there
//
//   - a route to every other node's pod subnet,
//   - one rule that gives packets which leave the pods' network the node's address,
//   - the file by which containerd attaches pods to the node.
//
// It knows IPv4 and no network policies.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// retryAfter is how long a failed round waits before the next.
const retryAfter = time.Second

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	settings, err := settingsFromEnvironment()
	if err != nil {
		return err
	}
	if err := masquerade(ctx, settings.podSubnet); err != nil {
		return err
	}
	api, err := newAPI(settings.endpoint)
	if err != nil {
		return err
	}
	node := attachedNode{settings: settings, routes: map[string]string{}}
	reported := ""
	for ctx.Err() == nil {
		err := node.follow(ctx, api)
		if err == nil {
			reported = ""
			continue
		}
		// While the API server starts, the same error comes every second: said once.
		if text := err.Error(); text != reported {
			log.Print(text)
			reported = text
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryAfter):
		}
	}
	return ctx.Err()
}

// settings is what kind's DaemonSet says in the environment.
type settings struct {
	// endpoint is the API server's address that works without Services.
	endpoint string
	// service is the API server's address as a Service.
	service string
	// nodeAddress is this node's own.
	nodeAddress string
	// podSubnet holds every node's pod subnet.
	podSubnet string
}

func settingsFromEnvironment() (settings, error) {
	var missing []string
	read := func(name string) string {
		value := os.Getenv(name)
		if value == "" {
			missing = append(missing, name)
		}
		return value
	}
	found := settings{
		endpoint:    read("CONTROL_PLANE_ENDPOINT"),
		service:     read("KUBERNETES_SERVICE_HOST") + ":" + read("KUBERNETES_SERVICE_PORT"),
		nodeAddress: read("HOST_IP"),
		podSubnet:   read("POD_SUBNET"),
	}
	if len(missing) > 0 {
		return settings{}, fmt.Errorf("the environment lacks %s", strings.Join(missing, ", "))
	}
	return found, nil
}

// command runs a program to its end; what it printed becomes part of the error.
func command(ctx context.Context, input io.Reader, name string, args ...string) error {
	program := exec.CommandContext(ctx, name, args...)
	program.Stdin = input
	if printed, err := program.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, printed)
	}
	return nil
}
