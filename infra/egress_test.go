package infra

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/template"
)

// networkOf lists what the template makes of a network, and the subnets and groups of a function.
func networkOf(tmpl *template.Template) (made []string, placed map[string]string) {
	placed = map[string]string{}
	for _, r := range tmpl.Resources {
		if strings.HasPrefix(r.Type, "AWS::EC2::") {
			made = append(made, r.LogicalID)
		}
		if config, ok := r.Properties["VpcConfig"].(map[string]any); ok && r.Type == "AWS::Serverless::Function" {
			placed[r.LogicalID] = fmt.Sprint(config["SubnetIds"], config["SecurityGroupIds"])
		}
	}
	return made, placed
}

// The functions that talk to WeCom reach it in one of three ways, and the template makes nothing that the chosen way has no use for.
func TestTheOutgoingWayIsMadeOrGivenOrAProxys(t *testing.T) {
	const subnets, groups, proxy = "subnet-0a,subnet-0b", "sg-0c", "http://proxy.bank.example:3128"
	talkers := []string{"ConsentFunction", "DirectoryFunction", "FetchFunction", "MediaFunction", "TellFunction"}
	for name, c := range map[string]struct {
		params  map[string]string
		makes   bool
		places  string // of each function that talks to WeCom; "" for no VPC, "own" for what is made
		address string
	}{
		"made here":             {nil, true, "own", "127.0.0.1"},
		"existing subnets":      {map[string]string{"SubnetIds": subnets, "SecurityGroupIds": groups, "EgressAddressList": "192.0.2.7,192.0.2.8"}, false, "[subnet-0a subnet-0b] [sg-0c]", "192.0.2.7,192.0.2.8"},
		"a proxy alone":         {map[string]string{"EgressProxy": proxy, "EgressAddressList": "192.0.2.9"}, false, "", "192.0.2.9"},
		"a proxy and subnets":   {map[string]string{"EgressProxy": proxy, "SubnetIds": subnets, "SecurityGroupIds": groups}, false, "[subnet-0a subnet-0b] [sg-0c]", ""},
		"a proxy and its words": {map[string]string{"EgressProxy": proxy, "EgressProxyAuth": "true"}, false, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			tmpl := load(t, c.params)
			made, placed := networkOf(tmpl)
			if (len(made) > 0) != c.makes || c.makes && len(made) < 16 {
				t.Errorf("makes %v", made)
			}
			if got := tmpl.Outputs["EgressAddresses"]; got != c.address {
				t.Errorf("the operator is told the addresses %q, want %q", got, c.address)
			}
			for _, f := range tmpl.Functions {
				talks := slices.Contains(talkers, f.LogicalID)
				switch where := placed[f.LogicalID]; {
				case !talks && (where != "" || f.InVPC):
					t.Errorf("%s is placed in %s", f.LogicalID, where)
				case talks && c.places == "own" && !strings.Contains(where, "subnet-"):
					t.Errorf("%s is placed in %q", f.LogicalID, where)
				case talks && c.places != "own" && where != c.places:
					t.Errorf("%s is placed in %q, want %q", f.LogicalID, where, c.places)
				}
				if talks && f.InVPC != (c.places != "") {
					t.Errorf("%s is in a VPC: %v", f.LogicalID, f.InVPC)
				}
				if talks && (f.Environment["EGRESS_PROXY"] != c.params["EgressProxy"] || f.Environment["EGRESS_PROXY_AUTH"] != tmpl.Parameters["EgressProxyAuth"]) {
					t.Errorf("%s has the proxy %q, with credentials %q", f.LogicalID, f.Environment["EGRESS_PROXY"], f.Environment["EGRESS_PROXY_AUTH"])
				}
				role, _ := tmpl.Role(f.RoleARN)
				policies := permits(t, role)
				for action, want := range map[string]bool{"ec2:CreateNetworkInterface": talks && c.places != ""} {
					if got := policies.Allowed(authz.Request{Action: action, Resource: "*"}); got != want {
						t.Errorf("%s may %s: %v", f.LogicalID, action, got)
					}
				}
				secret := authz.Request{Action: "secretsmanager:GetSecretValue", Resource: "arn:aws:secretsmanager:us-east-1:000000000000:secret:wecomvault/egress-proxy-a1B2c3"}
				if got, want := policies.Allowed(secret), talks && c.params["EgressProxyAuth"] == "true"; got != want {
					t.Errorf("%s may read the proxy's credentials: %v", f.LogicalID, got)
				}
			}
		})
	}
}

func TestAWayThatIsHalfGivenIsRefusedBeforeAnythingIsMade(t *testing.T) {
	for name, params := range map[string]map[string]string{
		"subnets without groups":       {"SubnetIds": "subnet-0a"},
		"groups without subnets":       {"SecurityGroupIds": "sg-0a"},
		"credentials without a proxy":  {"EgressProxyAuth": "true"},
		"credentials in the address":   {"EgressProxy": "http://vault:word@proxy:3128"},
		"a proxy without a port":       {"EgressProxy": "http://proxy"},
		"a list of something else":     {"SubnetIds": "vpc-0a", "SecurityGroupIds": "sg-0a"},
		"a boundary that is no policy": {"PermissionsBoundaryArn": "boundary"},
	} {
		if _, err := template.Load("../template.yaml", params); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestTheAccountsBoundaryIsOnEveryRole(t *testing.T) {
	const boundary = "arn:aws:iam::123456789012:policy/team/boundary"
	for _, c := range []struct {
		params map[string]string
		want   any
	}{{nil, nil}, {map[string]string{"PermissionsBoundaryArn": boundary}, boundary}} {
		for _, r := range load(t, c.params).Resources {
			if r.Type == "AWS::IAM::Role" && r.Properties["PermissionsBoundary"] != c.want {
				t.Errorf("line %d: %s has the boundary %v, want %v", r.Line, r.LogicalID, r.Properties["PermissionsBoundary"], c.want)
			}
		}
	}
}
