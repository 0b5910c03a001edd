package house

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// verifyTries is how often an address is tried: the simulator gives the first answer of a function that has just been started one second, as WeCom does.
const verifyTries = 10

// Hear has the simulated WeCom tell of a corp's changes at this house's addresses, of the kinds named, as its admin would arrange it: a Token and
// an EncodingAESKey of its own for each address, given to the operator's command first and then to WeCom, which tries the address. It needs
// functions that run, an API address and the template's parameter Callbacks=true. Asked again, both are renewed.
func (h *House) Hear(ctx context.Context, sim *wecomsim.Client, corp string, kinds ...string) error {
	if h.Template.Outputs["CallbackUrl"] == "" {
		return errors.New("there is no address for callbacks: API and the parameter Callbacks are needed")
	}
	for _, kind := range kinds {
		token, key, err := newScheme()
		if err != nil {
			return err
		}
		if err := h.giveCallback(ctx, corp, kind, token, key); err != nil {
			return err
		}
		address := wecomsim.Callback{Corp: corp, Kind: kind, URL: h.Template.Outputs["CallbackUrl"] + "/callback/" + corp + "/" + kind, Token: token, AESKey: key, PauseMS: 200}
		for try := 1; ; try++ {
			_, err := sim.SetCallback(ctx, address)
			if err == nil {
				break
			}
			if try == verifyTries || ctx.Err() != nil {
				return fmt.Errorf("WeCom's trial of the %s callback of corp %s: %w", kind, corp, err)
			}
		}
	}
	return nil
}

// giveCallback keeps an address's settings as the operator does, by files that are gone afterwards.
func (h *House) giveCallback(ctx context.Context, corp, kind, token, key string) (err error) {
	folder, err := os.MkdirTemp(h.Data, "callback-*")
	if err != nil {
		return fmt.Errorf("a folder for the %s callback of corp %s: %w", kind, corp, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	args := []string{"callbacks", "set", "-corp", corp, "-kind", kind}
	for flag, value := range map[string]string{"-token-file": token, "-key-file": key} {
		path := folder + "/" + strings.Trim(flag, "-")
		if err := os.WriteFile(path, []byte(value), 0o600); err != nil {
			return fmt.Errorf("a file for the %s callback of corp %s: %w", kind, corp, err)
		}
		args = append(args, flag, path)
	}
	code, said, err := h.Operate(ctx, args...)
	if err == nil && code != 0 {
		err = fmt.Errorf("vaultctl callbacks set: %s", said)
	}
	return err
}

// newScheme makes a Token and an EncodingAESKey as WeCom's console does: 43 letters and digits, which are base64 of 32 bytes but for the last sign.
func newScheme() (token, key string, err error) {
	for key == "" || strings.ContainsAny(key, "+/") {
		var b [32]byte
		if _, err := rand.Read(b[:]); err != nil {
			return "", "", fmt.Errorf("make an EncodingAESKey: %w", err)
		}
		key = strings.TrimSuffix(base64.StdEncoding.EncodeToString(b[:]), "=")
	}
	return rand.Text(), key, nil
}
