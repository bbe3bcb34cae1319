// API v2 under tailscale.com/client/tailscale/v2, the Go client that Terraform's provider is made of: what the provider
// calls for each of its resources, in its order: create, read back, change, read back, delete.
package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"tailscale.com/client/tailscale/v2"
)

var ctx = context.Background()

// must ends the program when a call was refused.
func must[T any](value T, err error) T {
	done(err)
	return value
}

func done(err error) {
	if err != nil {
		panic(err)
	}
}

// ensure ends the program when something is not as it has to be.
func ensure(holds bool, format string, args ...any) {
	if !holds {
		panic(fmt.Sprintf(format, args...))
	}
}

func main() {
	base := must(url.Parse(os.Getenv("SERVER")))
	api := &tailscale.Client{BaseURL: base, APIKey: os.Getenv("KEY")}

	// tailscale_acl
	policy := `{
  // from Terraform
  "tagOwners": {"tag:ci": []},
  "grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}],
  "tests": [{"src": "tag:ci", "accept": ["tag:ci:22"]}],
}`
	before := must(api.PolicyFile().Raw(ctx))
	done(api.PolicyFile().Validate(ctx, policy))
	done(api.PolicyFile().Set(ctx, policy, before.ETag))
	raw := must(api.PolicyFile().Raw(ctx))
	ensure(raw.HuJSON == policy, "the policy came back as %q", raw.HuJSON)
	ensure(api.PolicyFile().Set(ctx, policy, before.ETag) != nil, "an old ETag was taken")
	ensure(api.PolicyFile().Validate(ctx, strings.Replace(policy, `"accept"`, `"deny"`, 1)) != nil, "a failing test was not told")
	ensure(len(must(api.PolicyFile().Get(ctx)).Grants) == 1, "the policy as JSON")

	// tailscale_tailnet_key
	var key tailscale.CreateKeyRequest
	key.Description, key.ExpirySeconds = "terraform", 3600
	key.Capabilities.Devices.Create.Tags = []string{"tag:ci"}
	key.Capabilities.Devices.Create.Reusable = true
	made := must(api.Keys().CreateAuthKey(ctx, key))
	read := must(api.Keys().Get(ctx, made.ID))
	ensure(made.Key != "" && read.Key == "" && !read.Invalid && read.Description == "terraform", "key %+v", read)
	ensure(reflect.DeepEqual(read.Capabilities.Devices.Create.Tags, []string{"tag:ci"}), "tags %v", read.Capabilities)
	done(api.Keys().Delete(ctx, made.ID))
	ensure(must(api.Keys().Get(ctx, made.ID)).Invalid, "a deleted key still works")

	// tailscale_oauth_client, and a provider that logs in with it
	client := must(api.Keys().CreateOAuthClient(ctx, tailscale.CreateOAuthClientRequest{
		Scopes: []string{"auth_keys", "devices:core:read"}, Tags: []string{"tag:ci"}, Description: "terraform",
	}))
	scoped := &tailscale.Client{BaseURL: base, Auth: &tailscale.OAuth{ClientID: client.ID, ClientSecret: client.Key}}
	must(scoped.Keys().CreateAuthKey(ctx, key))
	must(scoped.Devices().List(ctx))
	_, err := scoped.Users().List(ctx, nil, nil)
	ensure(err != nil, "a scope that is not there was taken")
	changed := must(api.Keys().SetOAuthClient(ctx, client.ID, tailscale.SetOAuthClientRequest{Scopes: []string{"users:read"}}))
	ensure(reflect.DeepEqual(changed.Scopes, []string{"users:read"}), "scopes %v", changed.Scopes)
	narrowed := &tailscale.Client{BaseURL: base, Auth: &tailscale.OAuth{ClientID: client.ID, ClientSecret: client.Key, Scopes: []string{"users:read"}}}
	must(narrowed.Users().List(ctx, nil, nil))
	done(api.Keys().Delete(ctx, client.ID))
	_, err = narrowed.Users().List(ctx, nil, nil)
	ensure(err != nil, "the token of a deleted client was taken")

	// tailscale_dns_*
	done(api.DNS().SetNameservers(ctx, []string{"9.9.9.9", "2620:fe::9"}))
	ensure(len(must(api.DNS().Nameservers(ctx))) == 2, "name servers")
	done(api.DNS().SetPreferences(ctx, tailscale.DNSPreferences{MagicDNS: false}))
	ensure(!must(api.DNS().Preferences(ctx)).MagicDNS, "names of devices are off")
	done(api.DNS().SetPreferences(ctx, tailscale.DNSPreferences{MagicDNS: true}))
	done(api.DNS().SetSearchPaths(ctx, []string{"home.arpa"}))
	ensure(must(api.DNS().SearchPaths(ctx))[0] == "home.arpa", "search paths")
	must(api.DNS().UpdateSplitDNS(ctx, tailscale.SplitDNSRequest{"lan": {"192.168.1.1"}, "corp": {"10.0.0.1"}}))
	split := must(api.DNS().UpdateSplitDNS(ctx, tailscale.SplitDNSRequest{"corp": nil}))
	ensure(len(split) == 1 && split["lan"][0] == "192.168.1.1", "split DNS %v", split)
	whole := must(api.DNS().Configuration(ctx))
	whole.SearchPaths = nil
	done(api.DNS().SetConfiguration(ctx, *whole))
	ensure(len(must(api.DNS().SearchPaths(ctx))) == 0 && len(must(api.DNS().Nameservers(ctx))) == 2, "the whole configuration")

	// tailscale_tailnet_settings
	done(api.TailnetSettings().Update(ctx, tailscale.UpdateTailnetSettingsRequest{DevicesKeyDurationDays: tailscale.PointerTo(30)}))
	ensure(must(api.TailnetSettings().Get(ctx)).DevicesKeyDurationDays == 30, "settings")
	https := api.TailnetSettings().Update(ctx, tailscale.UpdateTailnetSettingsRequest{HTTPSEnabled: tailscale.PointerTo(true)})
	ensure(https != nil, "what there is not was switched on")

	// tailscale_device_*: on a device that the test before this one left
	devices := must(api.Devices().ListWithAllFields(ctx))
	ensure(len(devices) > 0, "there is a device")
	id := devices[0].NodeID
	done(api.Devices().SetAuthorized(ctx, id, true))
	done(api.Devices().SetTags(ctx, id, []string{"tag:ci"}))
	done(api.Devices().SetSubnetRoutes(ctx, id, []string{"10.7.0.0/16", "0.0.0.0/0"}))
	done(api.Devices().SetKey(ctx, id, tailscale.DeviceKey{KeyExpiryDisabled: true}))
	done(api.Devices().SetName(ctx, id, "terraformed"))
	device := must(api.Devices().GetWithAllFields(ctx, id))
	ensure(strings.HasPrefix(device.Name, "terraformed.") && device.KeyExpiryDisabled && device.Tags[0] == "tag:ci", "device %+v", device)
	ensure(reflect.DeepEqual(must(api.Devices().SubnetRoutes(ctx, id)).Enabled, []string{"10.7.0.0/16"}), "routes")
	done(api.Devices().SetIPv4Address(ctx, id, "100.64.9.9"))
	ensure(slices.Contains(must(api.Devices().Get(ctx, id)).Addresses, "100.64.9.9"), "another address")
	ensure(api.Devices().SetIPv4Address(ctx, id, "100.100.100.100") != nil, "an address with another use was given")

	// tailscale_device_posture_attribute, as tools that judge devices do
	tier := tailscale.DevicePostureAttributeRequest{Value: "gold", Expiry: tailscale.Time{Time: time.Now().Add(time.Hour)}}
	done(api.Devices().SetPostureAttribute(ctx, id, "custom:tier", tier))
	done(api.Devices().SetPostureAttribute(ctx, id, "custom:score", tailscale.DevicePostureAttributeRequest{Value: 87.5}))
	known := must(api.Devices().GetPostureAttributes(ctx, id))
	ensure(known.Attributes["custom:tier"] == "gold" && known.Attributes["custom:score"] == 87.5, "attributes %v", known)
	_, ends := known.Expiries["custom:tier"]
	ensure(ends && len(known.Expiries) == 1, "ends %v", known.Expiries)
	done(api.Devices().DeletePostureAttribute(ctx, id, "custom:tier"))
	ensure(tailscale.IsNotFound(api.Devices().DeletePostureAttribute(ctx, id, "custom:tier")), "an attribute went twice")
	ensure(api.Devices().SetPostureAttribute(ctx, id, "node:os", tier) != nil, "a fact of the client was changed")
	done(api.Devices().Delete(ctx, id))
	_, err = api.Devices().Get(ctx, id)
	ensure(tailscale.IsNotFound(err), "a deleted device: %v", err)
	fmt.Println("Terraform's client: policy, keys, OAuth clients, DNS, settings, devices: as expected")
}
