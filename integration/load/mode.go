package load

import (
	"fmt"
	"strings"
	"time"
)

// Behaviour is what a [Server] does with new HTTP requests.
type Behaviour string

const (
	// Healthy answers 200.
	Healthy Behaviour = "ok"
	// Failing503 answers 503.
	Failing503 Behaviour = "503"
	// Hanging accepts connections and never answers.
	Hanging Behaviour = "hang"
	// Refusing closes the listeners, of HTTP and of echo, so that new
	// connections are reset; those that exist stay.
	Refusing Behaviour = "refuse"
	// Slow answers 200 after Mode.Delay.
	Slow Behaviour = "slow"
)

// Mode is how a [Server] behaves. The zero Mode is Healthy.
type Mode struct {
	Behaviour Behaviour
	// Delay is for Slow, more than 0.
	Delay time.Duration
	// HealthOnly limits the mode to /healthz: the server fails its checks and
	// serves its users. Not for Refusing.
	HealthOnly bool
}

// healthOnly is the suffix of a mode's text that sets HealthOnly.
const healthOnly = ",health-only"

// ParseMode reads a mode as [Mode.String] writes it: ok, 503, hang, refuse or
// slow=200ms, with ",health-only" after it where wanted.
func ParseMode(text string) (Mode, error) {
	name, only := strings.CutSuffix(text, healthOnly)
	name, delay, hasDelay := strings.Cut(name, "=")
	m := Mode{Behaviour: Behaviour(name), HealthOnly: only}
	if (m.Behaviour == Slow) != hasDelay {
		return Mode{}, fmt.Errorf("mode %q: a delay belongs to slow and to nothing else, as in slow=200ms", text)
	}
	switch m.Behaviour {
	case Healthy, Failing503, Hanging:
	case Slow:
		d, err := time.ParseDuration(delay)
		if err != nil {
			return Mode{}, fmt.Errorf("mode %q: %w", text, err)
		}
		if d <= 0 {
			return Mode{}, fmt.Errorf("mode %q: want a delay of more than 0", text)
		}
		m.Delay = d
	case Refusing:
		if only {
			return Mode{}, fmt.Errorf("mode %q: a closed listener refuses everybody; drop %s", text, healthOnly)
		}
	default:
		return Mode{}, fmt.Errorf("mode %q: want ok, 503, hang, refuse or slow=DURATION", text)
	}
	return m, nil
}

// String returns m in the form that [ParseMode] reads.
func (m Mode) String() string {
	s := string(m.Behaviour)
	switch m.Behaviour {
	case "":
		s = string(Healthy)
	case Slow:
		s = fmt.Sprintf("%s=%v", Slow, m.Delay)
	}
	if m.HealthOnly {
		s += healthOnly
	}
	return s
}

// MarshalText and UnmarshalText use the form of [Mode.String].
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText is the counterpart of MarshalText.
func (m *Mode) UnmarshalText(b []byte) (err error) {
	*m, err = ParseMode(string(b))
	return err
}
