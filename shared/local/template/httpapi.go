package template

import (
	"slices"
	"time"
)

// HTTPAPI is an AWS::Serverless::HttpApi.
type HTTPAPI struct {
	LogicalID      string
	Line           int
	ID             string // what Ref gives
	Authorizer     string // by which every route is guarded that names no other; "" if none is the default
	Authorizers    []JWTAuthorizer
	Burst          int     // requests at once before API Gateway throttles
	Rate           float64 // requests a second before it does
	AccessLogARN   string  // "" if there is none
	FailOnWarnings bool    // a deployment that would lose an authorizer fails
	OpenToAll      string  // from its Metadata: why its routes ask for no token, having no authorizer; "": they may not be without
}

// JWTAuthorizer is what a token must be.
type JWTAuthorizer struct {
	Name     string
	Source   string // where the token is: $request.header.Authorization
	Issuer   string
	Audience []string
}

// Route is a path and a method of an HTTP API that lead to a function.
type Route struct {
	Event   string
	API     string // its id
	Method  string // ANY for all
	Path    string // with {names}; {name+} at the end takes all the rest
	Payload string // format: 2.0
	Timeout time.Duration
	Open    bool // no token is asked for
}

func (r *resolver) httpAPI(d declared, props value) HTTPAPI {
	c := r.object(props, d.id)
	out := HTTPAPI{LogicalID: d.id, Line: d.line, ID: r.physical(d.line, d), FailOnWarnings: c.boolean("FailOnWarnings")}
	if stage := c.text("StageName"); stage != "" && stage != "$default" {
		r.fail(d.line, "write `StageName: $default`, or teach the local gateway stages", "API %s has the stage %s", d.id, stage)
	}
	auth := c.child("Auth")
	out.Authorizer = auth.text("DefaultAuthorizer")
	all := auth.child("Authorizers")
	for _, name := range all.v.keys {
		a := all.child(name)
		jwt := a.child("JwtConfiguration")
		authorizer := JWTAuthorizer{Name: name, Source: a.must("IdentitySource"), Issuer: jwt.must("issuer"), Audience: jwt.texts("audience")}
		if authorizer.Source != "$request.header.Authorization" {
			r.fail(a.v.line, "take $request.header.Authorization", "authorizer %s looks for the token in %s", name, authorizer.Source)
		}
		if len(authorizer.Audience) == 0 {
			r.fail(a.v.line, "name at least one audience", "authorizer %s takes tokens for anybody", name)
		}
		out.Authorizers = append(out.Authorizers, authorizer)
		jwt.done()
		a.done()
	}
	all.done()
	auth.done()
	if out.Authorizer != "" && !slices.ContainsFunc(out.Authorizers, func(a JWTAuthorizer) bool { return a.Name == out.Authorizer }) {
		r.fail(d.line, "name one of its Authorizers", "API %s has the default authorizer %s, which is none of its own", d.id, out.Authorizer)
	}
	limits := c.child("DefaultRouteSettings")
	out.Burst = limits.number("ThrottlingBurstLimit", 0)
	out.Rate = float64(limits.number("ThrottlingRateLimit", 0))
	limits.ignore("DetailedMetricsEnabled")
	limits.done()
	log := c.child("AccessLogSettings")
	out.AccessLogARN = log.text("DestinationArn")
	log.ignore("Format")
	log.done()
	c.ignore("Name", "Description")
	c.done()
	return out
}

func (r *resolver) route(f *Function, name string, p *cursor) {
	route := Route{Event: name, API: p.must("ApiId"), Method: p.must("Method"), Path: p.must("Path"), Payload: p.text("PayloadFormatVersion"),
		Timeout: time.Duration(p.between("TimeoutInMillis", 30000, 50, 30000)) * time.Millisecond}
	if route.Payload != "2.0" {
		r.fail(p.v.line, "write `PayloadFormatVersion: '2.0'`", "event %s of %s has the payload format %q", name, f.LogicalID, route.Payload)
	}
	auth := p.child("Auth")
	route.Open = auth.text("Authorizer") == "NONE"
	auth.done()
	f.Routes = append(f.Routes, route)
}
