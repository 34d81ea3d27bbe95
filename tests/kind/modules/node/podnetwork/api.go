package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// credentials is where the kubelet puts the service account's.
const credentials = "/var/run/secrets/kubernetes.io/serviceaccount"

// watchLimit ends a watch, so that a connection that died unnoticed is not waited on for good.
const watchLimit = 5 * time.Minute

// node is what matters here of a Kubernetes node.
type node struct {
	Metadata struct{ Name string }
	Spec     struct{ PodCIDRs []string }
	Status   struct {
		Addresses []struct{ Type, Address string }
	}
}

// internalAddress is the address that other nodes reach it by, or nothing as long as it has none.
func (n node) internalAddress() string {
	for _, address := range n.Status.Addresses {
		if address.Type == "InternalIP" {
			return address.Address
		}
	}
	return ""
}

// api reads nodes.
type api struct {
	address string
	client  *http.Client
}

func newAPI(endpoint string) (*api, error) {
	authority, err := os.ReadFile(filepath.Join(credentials, "ca.crt"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("%s/ca.crt holds no certificate", credentials)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	return &api{
		address: "https://" + endpoint + "/api/v1/nodes",
		client:  &http.Client{Transport: transport, Timeout: watchLimit + 10*time.Second},
	}, nil
}

// list returns every node, and the version from which a watch goes on.
func (a *api) list(ctx context.Context) ([]node, string, error) {
	body, err := a.get(ctx, nil)
	if err != nil {
		return nil, "", err
	}
	defer body.Close()
	var found struct {
		Metadata struct{ ResourceVersion string }
		Items    []node
	}
	err = json.NewDecoder(body).Decode(&found)
	return found.Items, found.Metadata.ResourceVersion, err
}

// watch calls changed for each event until that returns true or the server ends the watch.
func (a *api) watch(ctx context.Context, version string, changed func(kind string, n node) bool) error {
	body, err := a.get(ctx, url.Values{
		"watch":           {"1"},
		"resourceVersion": {version},
		"timeoutSeconds":  {fmt.Sprint(int(watchLimit.Seconds()))},
	})
	if err != nil {
		return err
	}
	defer body.Close()
	events := json.NewDecoder(body)
	for {
		var event struct {
			Type   string
			Object node
		}
		switch err := events.Decode(&event); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("watching nodes: %w", err)
		// An error's object is no node; the next list begins anew.
		case event.Type == "ERROR", changed(event.Type, event.Object):
			return nil
		}
	}
}

func (a *api) get(ctx context.Context, query url.Values) (io.ReadCloser, error) {
	// Read each time: the kubelet renews it.
	token, err := os.ReadFile(filepath.Join(credentials, "token"))
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.address+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+string(token))
	response, err := a.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("GET %s: %s", request.URL, response.Status)
	}
	return response.Body, nil
}
