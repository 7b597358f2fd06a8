package js
import ("testing";"strings";"os")
func TestZZ(t *testing.T) {
	k := os.Getenv("ZZ")
	code := map[string]string{"paren": strings.Repeat("(", 2<<20), "bang": "x="+strings.Repeat("!", 4<<20-10)+"1", "arrow": "x="+strings.Repeat("a=>", 1<<20)+"1", "if": strings.Repeat("if(1)", 800000)+";", "br": "x="+strings.Repeat("[", 4<<20-10),
	"plus":"x=1"+strings.Repeat("+1", 2<<20-10), "tern":"x="+strings.Repeat("1?1:", 1<<20-10)+"1", "obj": "x="+strings.Repeat("{a:", 1<<20), "dot":"x=a"+strings.Repeat(".a", 2<<20-10), "call":"x=a"+strings.Repeat("()", 2<<20-10), "else": strings.Repeat("if(1);else ", 300000)+";", "comma":"x=(1"+strings.Repeat(",1", 2<<20-20)+")", "neg":"x="+strings.Repeat("- ", 2<<20-10)+"1", "typeof":"x="+strings.Repeat("typeof ", 500000)+"1", "tmpl": "x="+strings.Repeat("`${", 1<<20), "new":"x="+strings.Repeat("new ", 1<<20-10)+"a", "assign": strings.Repeat("x=", 2<<20-10)+"1", "exp": "x=1"+strings.Repeat("**1", 1<<20), "label": func() string { var b strings.Builder; for i:=0;i<200000;i++ { b.WriteString("a"+itoa(i)+":") }; return b.String()+";" }()}[k]
	_, err := openWith(t, code, setup{})
	s := "nil"; if err != nil { s = err.Error(); if len(s) > 200 { s = s[:200] } }
	t.Log(k, s)
}
func itoa(i int) string { return string([]byte{byte('a'+i%26), byte('a'+i/26%26), byte('a'+i/676%26), byte('a'+i/17576%26)}) }
