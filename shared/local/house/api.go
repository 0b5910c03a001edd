package house

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/local/apigateway"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/openid"
	"github.com/wecomvault/wecomvault/shared/local/template"
)

// api is the address at which the template's HTTP APIs answer, and below it the issuer of the tokens that they take.
type api struct {
	url      string
	listener net.Listener
	issuer   *openid.Issuer
	server   *http.Server
	served   chan error
}

// issuerPath is where the issuer is below the API's address.
const issuerPath = "/issuer"

// listenAPI takes the address, so that the template can be read with the issuer's.
func (h *House) listenAPI() error {
	if h.API == "" {
		return nil
	}
	listener, err := awslocal.Listen(h.API)
	if err != nil {
		return fmt.Errorf("the API: %w", err)
	}
	h.api = &api{url: "http://" + listener.Addr().String(), listener: listener}
	h.api.issuer, err = openid.New(h.api.url+issuerPath, h.Now)
	return err
}

// serveAPI begins to answer.
func (h *House) serveAPI() error {
	if h.api == nil {
		return nil
	}
	gateway, err := apigateway.New(apigateway.Options{
		Template: h.Template, Now: h.Now, Real: clock.Real, Log: slog.New(slog.NewTextHandler(h.Log, nil)),
		Invoke: func(ctx context.Context, function string, payload []byte) ([]byte, bool, error) {
			r, err := h.Host.Invoke(ctx, function, payload)
			return r.Payload, r.FunctionError != "", err
		},
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle(issuerPath+"/", http.StripPrefix(issuerPath, h.api.issuer))
	mux.Handle("/", gateway)
	h.api.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	h.api.served = make(chan error, 1)
	go func() { h.api.served <- h.api.server.Serve(h.api.listener) }()
	return nil
}

func (a *api) close() error {
	if a == nil {
		return nil
	}
	if a.server == nil {
		return ignoreClosed(a.listener.Close())
	}
	err := a.server.Close()
	if ended := <-a.served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

// APIURL is where the API answers; "" if there is none.
func (h *House) APIURL() string {
	if h.api == nil {
		return ""
	}
	return h.api.url
}

// Token is a token for the API: for whom, and the roles that it carries, in the words of shared/access.
func (h *House) Token(subject string, roles ...string) (string, error) {
	if h.api == nil {
		return "", errors.New("there is no API to issue tokens for")
	}
	p := h.Template.Parameters
	return h.api.issuer.Token(map[string]any{"sub": subject, "aud": p["ApiAudience"], p["ApiRoleClaim"]: roles})
}

// apiParameters are the template's parameters that the API's address decides.
func (h *House) apiParameters() map[string]string {
	if h.api == nil {
		return nil
	}
	params := map[string]string{"ApiIssuer": h.api.issuer.URL()}
	if h.Guide {
		params["GuideUrl"] = h.api.url + "/guide"
	}
	return params
}

// nameAPI puts the local address in the place of those that AWS would have given.
func (h *House) nameAPI(t *template.Template) {
	if h.api == nil {
		return
	}
	for _, name := range []string{"ApiUrl", "CallbackUrl"} {
		if t.Outputs[name] != "" {
			t.Outputs[name] = h.api.url
		}
	}
}
