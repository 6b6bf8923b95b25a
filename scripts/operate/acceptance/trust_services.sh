# Run on a host of the site with bash: what the trust services tell, judged by OpenSSL. Told by the environment's words
# before it: STATUS (address of the responders), ISSUER (name of
# the authority's published files), STAMPING ("name=address …"), and TSA_<n> with the certificates (PEM) of
# the time-stamping authorities in that order. Prints a line "ok|failed<tab>name<tab>detail" for each thing looked at.
set -u
root=/etc/smartgouv/tls/root.crt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
get() { curl --silent --show-error --fail --max-time 10 "$@"; }
last() { tail -n 1 | cut -c 1-200; }

look() { # name, then a command whose last line is the detail
    local name=$1 said
    shift
    if said=$("$@" 2>&1); then printf 'ok\t%s\t%s\n' "$name" "$(last <<<"$said")"
    else printf 'failed\t%s\t%s\n' "$name" "$(last <<<"$said")"; fi
}

authority() {
    get "$STATUS/ca/$ISSUER.crt" | openssl x509 -inform der -out issuer.pem &&
        openssl verify -CAfile "$root" issuer.pem
}
list() {
    get "$STATUS/crl/$1.crl" >"$1.crl" && openssl crl -inform der -in "$1.crl" -CAfile "$2" -noout -nextupdate
}
ocsp() {
    openssl ocsp -issuer issuer.pem "-$2" -cert "$1.pem" -url "$STATUS/" -CAfile "$root" -no_nonce \
        -header "Host=${STATUS#http://}" >said 2>&1
    grep -q '^Response verify OK' said && grep "^$1.pem: good" said || { cat said; return 1; }
}
ocsp_by_get() {
    openssl ocsp -issuer issuer.pem -cert "$1.pem" -no_nonce -reqout request.der &&
        get "$STATUS/$(base64 --wrap=0 request.der | sed 's/+/%2B/g; s:/:%2F:g; s/=/%3D/g')" >answer.der &&
        openssl ocsp -issuer issuer.pem -cert "$1.pem" -respin answer.der -CAfile "$root" -no_nonce >said 2>&1
    grep -q '^Response verify OK' said && grep "^$1.pem: good" said || { cat said; return 1; }
}
stamp() {
    openssl ts -query -data "$root" "-$3" -cert -out query.tsq &&
        get -H 'Content-Type: application/timestamp-query' --data-binary @query.tsq "$2" >answer.tsr &&
        openssl ts -verify -queryfile query.tsq -in answer.tsr -CAfile "$root" -untrusted issuer.pem
}

look 'issuer chains to the root' authority
look 'revocation list of the root' list root "$root"
look 'revocation list of the trust services CA' list "$ISSUER" issuer.pem
number=0
for pair in $STAMPING; do
    name=${pair%%=*}
    variable=TSA_$number
    number=$((number + 1))
    printf '%s\n' "${!variable}" >"$name.pem"
    for hash in sha1 sha256; do look "status of $name, $hash" ocsp "$name" $hash; done
    look "status of $name, by GET" ocsp_by_get "$name"
    for hash in sha256 sha512; do look "stamp of $name, $hash" stamp "$name" "${pair#*=}" $hash; done
done
