package engines

import "testing"

func TestChoose(t *testing.T) {
	for name, x := range map[string]struct {
		heard []standing
		want  int // -1: nobody
	}{
		"nobody heard":                {nil, -1},
		"one heard":                   {[]standing{{index: 1, position: 9}}, -1},
		"one heard, promoted":         {[]standing{{index: 1, promoted: true}}, -1},
		"the first has more":          {[]standing{{index: 1, position: 9}, {index: 2, position: 8}}, 1},
		"the second has more":         {[]standing{{index: 0, position: 8}, {index: 2, position: 9}}, 2},
		"both have the same":          {[]standing{{index: 0, position: 8}, {index: 1, position: 8}}, 0},
		"promoted before, first":      {[]standing{{index: 0, promoted: true}, {index: 1, position: 8}}, 0},
		"promoted before, second":     {[]standing{{index: 0, position: 8}, {index: 1, promoted: true}}, 1},
		"two primaries: ask a person": {[]standing{{index: 0, promoted: true}, {index: 1, promoted: true}}, -1},
	} {
		got, err := choose(x.heard)
		if err != nil {
			got.index = -1
		}
		if got.index != x.want {
			t.Errorf("%s: chose %d (%v), want %d", name, got.index, err, x.want)
		}
	}
}
