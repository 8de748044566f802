document.getElementById("supertokens-refresh").submit();
