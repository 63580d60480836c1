package transcript

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"tandem/vrrp"
)

// handOver is the word after shutdown.
const handOver = "hand-over"

// parser reads input lines. cfg is the configuration in force.
type parser struct{ cfg vrrp.Config }

// config reads what follows the word config.
func (p *parser) config(pairs string) error {
	p.cfg = Default()
	if err := setPairs(&p.cfg, pairs); err != nil {
		return err
	}
	return p.cfg.Validate()
}

// event reads "@<time> <event> <arguments>".
func (p *parser) event(line string) (at time.Duration, ev vrrp.Event, err error) {
	stamp, rest, _ := strings.Cut(line, " ")
	word, args, _ := strings.Cut(rest, " ")
	if stamp, found := strings.CutPrefix(stamp, "@"); found {
		at, err = time.ParseDuration(stamp)
	} else {
		err = fmt.Errorf("want @<time> <event>, have %q", line)
	}
	if err != nil {
		return 0, nil, err
	}
	ev, err = p.eventOf(word, strings.TrimSpace(args))
	return at, ev, err
}

func (p *parser) eventOf(word, args string) (vrrp.Event, error) {
	switch word {
	case "timeout":
		return vrrp.Timeout{}, none(args)
	case "send-failed":
		return vrrp.SendFailed{}, none(args)
	case "take-over":
		return vrrp.TakeOver{}, none(args)
	case "resign":
		cause, err := text(args)
		return vrrp.Resign{Cause: cause}, err
	case "startup":
		a, err := addr(args)
		return vrrp.Startup{PrimaryAddr: a}, err
	case "shutdown":
		first, rest, _ := strings.Cut(args, " ")
		ev := vrrp.Shutdown{HandOver: first == handOver}
		if ev.HandOver {
			args = rest
		}
		var err error
		ev.Cause, err = text(args)
		return ev, err
	case "reconfigure":
		return p.reconfigure(args)
	case "receive":
		src, pairs, _ := strings.Cut(args, " ")
		from := clone(p.cfg)
		a, err := addr(src)
		if err == nil {
			err = setPairs(&from, pairs)
		}
		return vrrp.Received{Src: a, Advert: advert(from)}, err
	}
	return nil, fmt.Errorf("unknown event %q", word)
}

// reconfigure refuses what a Machine would panic about.
func (p *parser) reconfigure(pairs string) (vrrp.Event, error) {
	cfg := clone(p.cfg)
	if err := setPairs(&cfg, pairs); err != nil {
		return nil, err
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.VRID != p.cfg.VRID {
		return nil, fmt.Errorf("VRID %d cannot become %d", p.cfg.VRID, cfg.VRID)
	}
	if cfg.Addresses[0].Is4() != p.cfg.Addresses[0].Is4() {
		return nil, fmt.Errorf("addresses of one family cannot become those of the other")
	}
	p.cfg = cfg
	return vrrp.Reconfigure{Config: clone(cfg)}, nil
}

func none(args string) error {
	if args != "" {
		return fmt.Errorf("unexpected %q", args)
	}
	return nil
}

func addr(s string) (netip.Addr, error) {
	if s == "none" {
		return netip.Addr{}, nil
	}
	return netip.ParseAddr(s)
}

// text reads a cause, quoted or not.
func text(s string) (string, error) {
	if !strings.HasPrefix(s, `"`) {
		return s, nil
	}
	out, err := strconv.Unquote(s)
	if err != nil {
		return "", fmt.Errorf("the cause %s: %w", s, err)
	}
	return out, nil
}

var (
	versions  = map[string]vrrp.Version{vrrp.V2.String(): vrrp.V2, vrrp.V3.String(): vrrp.V3}
	failbacks = map[string]vrrp.Failback{
		vrrp.FailbackImmediate.String(): vrrp.FailbackImmediate,
		vrrp.FailbackDelayed.String():   vrrp.FailbackDelayed,
		vrrp.FailbackNever.String():     vrrp.FailbackNever,
	}
)

// setPairs changes cfg as the key=value pairs say.
func setPairs(cfg *vrrp.Config, pairs string) error {
	for pair := range strings.FieldsSeq(pairs) {
		key, value, _ := strings.Cut(pair, "=")
		var err error
		switch key {
		case "vrid":
			cfg.VRID, err = number(value)
		case "priority":
			cfg.Priority, err = number(value)
		case "version":
			cfg.Version, err = oneOf(versions, value)
		case "interval":
			cfg.Interval, err = time.ParseDuration(value)
		case "delay":
			cfg.FailbackDelay, err = time.ParseDuration(value)
		case "failback":
			cfg.Failback, err = oneOf(failbacks, value)
		case "grouped":
			cfg.Grouped, err = strconv.ParseBool(value)
		case "addresses":
			cfg.Addresses, err = addresses(value)
		default:
			err = fmt.Errorf("unknown key")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", pair, err)
		}
	}
	return nil
}

func number(s string) (uint8, error) {
	n, err := strconv.ParseUint(s, 10, 8)
	return uint8(n), err
}

func oneOf[T any](words map[string]T, s string) (T, error) {
	v, ok := words[s]
	if !ok {
		return v, fmt.Errorf("unknown word")
	}
	return v, nil
}

func addresses(s string) ([]netip.Addr, error) {
	var out []netip.Addr
	for one := range strings.SplitSeq(s, ",") {
		if s == "" {
			break
		}
		a, err := netip.ParseAddr(one)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}
